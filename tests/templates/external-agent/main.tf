# A machine that somebody else runs: there is an agent, and nothing to provision.
terraform {
  required_providers {
    coder = {
      source  = "coder/coder"
      version = ">= 2.10"
    }
  }
}

data "coder_workspace" "me" {}

resource "coder_agent" "main" {
  os   = "linux"
  arch = "arm64"
}

resource "coder_external_agent" "main" {
  agent_id = coder_agent.main.id
}

resource "coder_app" "files" {
  agent_id = coder_agent.main.id
  slug     = "files"
  url      = "http://localhost:8000"
  hidden   = true
}
