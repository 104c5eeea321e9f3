terraform {
  required_providers {
    coder = {
      source = "coder/coder"
    }
  }
}

variable "agent_id" {
  type = string
}

variable "repository" {
  type = string
}

resource "coder_script" "clone" {
  agent_id           = var.agent_id
  display_name       = "Clone"
  icon               = "/icon/git.svg"
  script             = "git clone '${var.repository}'"
  run_on_start       = true
  start_blocks_login = true
  timeout            = 300
}

output "folder" {
  value = basename(var.repository)
}
