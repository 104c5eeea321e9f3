# A repository that is cloned with the owner's token; tags that choose the worker.
terraform {
  required_providers {
    coder = {
      source = "coder/coder"
    }
    docker = {
      source = "kreuzwerker/docker"
    }
  }
}

data "coder_workspace" "me" {}
data "coder_workspace_owner" "me" {}

data "coder_workspace_tags" "worker" {
  tags = {
    network = "inner"
  }
}

data "coder_external_auth" "github" {
  id = "github"
}

data "coder_external_auth" "artifacts" {
  id       = "artifacts"
  optional = true
}

data "coder_parameter" "repository" {
  name    = "repository"
  default = "https://git.example.com/team/project"
  mutable = true

  validation {
    regex = "^https://"
    error = "Give an https address."
  }
}

resource "coder_agent" "main" {
  os   = "linux"
  arch = "amd64"
  env = {
    GITHUB_TOKEN = data.coder_external_auth.github.access_token
    GIT_KEY      = data.coder_workspace_owner.me.ssh_private_key
    SESSION      = data.coder_workspace_owner.me.session_token
  }
}

module "clone" {
  source     = "./modules/git-clone"
  agent_id   = coder_agent.main.id
  repository = data.coder_parameter.repository.value
}

resource "coder_env" "proxy" {
  agent_id = coder_agent.main.id
  name     = "ARTIFACTS_TOKEN"
  value    = data.coder_external_auth.artifacts.access_token
}

resource "docker_container" "workspace" {
  count   = data.coder_workspace.me.start_count
  name    = "coder-${data.coder_workspace.me.id}"
  image   = "debian:stable"
  command = ["sh", "-c", coder_agent.main.init_script]
  env     = ["CODER_AGENT_TOKEN=${coder_agent.main.token}"]
}
