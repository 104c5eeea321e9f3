# A workspace for a coding agent: a task, its prompt, and the app that shows it.
terraform {
  required_providers {
    coder = {
      source  = "coder/coder"
      version = ">= 2.13"
    }
    docker = {
      source = "kreuzwerker/docker"
    }
  }
}

data "coder_workspace" "me" {}
data "coder_task" "me" {}

resource "coder_agent" "main" {
  os   = "linux"
  arch = "amd64"
  env = {
    PROMPT = data.coder_task.me.prompt
  }
}

resource "coder_app" "chat" {
  count    = data.coder_workspace.me.start_count
  agent_id = coder_agent.main.id
  slug     = "chat"
  url      = "http://localhost:3284"
  open_in  = "tab"
}

resource "coder_ai_task" "task" {
  count  = data.coder_workspace.me.start_count
  app_id = coder_app.chat[0].id
}

resource "docker_container" "workspace" {
  count      = data.coder_workspace.me.start_count
  name       = "coder-${data.coder_workspace.me.id}"
  image      = "codercom/example-universal:ubuntu"
  entrypoint = ["sh", "-c", coder_agent.main.init_script]
  env        = ["CODER_AGENT_TOKEN=${coder_agent.main.token}"]
}
