terraform {
  required_providers {
    coder = {
      source  = "coder/coder"
      version = ">= 2.5"
    }
  }
}

variable "agent_id" {
  type = string
}

data "coder_parameter" "uri" {
  name         = "dotfiles_uri"
  display_name = "Dotfiles URL"
  description  = "A repository with your dotfiles."
  type         = "string"
  default      = ""
  mutable      = true
  order        = 9
  icon         = "/icon/dotfiles.svg"
}

resource "coder_script" "dotfiles" {
  agent_id     = var.agent_id
  display_name = "Dotfiles"
  icon         = "/icon/dotfiles.svg"
  script       = "DOTFILES_URI='${data.coder_parameter.uri.value}' sh -c '[ -z \"$DOTFILES_URI\" ] || coder dotfiles \"$DOTFILES_URI\" -y'"
  run_on_start = true
}
