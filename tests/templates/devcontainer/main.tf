# A dev container in a container: it has an agent of its own, to which an app belongs.
terraform {
  required_providers {
    coder = {
      source  = "coder/coder"
      version = ">= 2.14"
    }
    docker = {
      source = "kreuzwerker/docker"
    }
  }
}

data "coder_workspace" "me" {}

resource "coder_agent" "main" {
  os              = "linux"
  arch            = "amd64"
  shutdown_script = "docker ps --quiet | xargs --no-run-if-empty docker stop"
}

resource "coder_devcontainer" "project" {
  count            = data.coder_workspace.me.start_count
  agent_id         = coder_agent.main.id
  workspace_folder = "/home/coder/project"
  config_path      = ".devcontainer/devcontainer.json"
}

resource "coder_app" "inner" {
  count    = data.coder_workspace.me.start_count
  agent_id = coder_devcontainer.project[0].subagent_id
  slug     = "inner"
  url      = "http://localhost:8080"
}

resource "docker_container" "workspace" {
  count      = data.coder_workspace.me.start_count
  name       = "coder-${data.coder_workspace.me.id}"
  image      = "docker:dind"
  entrypoint = ["sh", "-c", coder_agent.main.init_script]
  env        = ["CODER_AGENT_TOKEN=${coder_agent.main.token}"]
}
