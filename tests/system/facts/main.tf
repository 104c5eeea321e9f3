# Tells everything that a template gets to know, as items of a resource.
terraform {
  required_providers {
    coder = {
      source = "coder/coder"
    }
  }
}

data "coder_workspace" "me" {}
data "coder_workspace_owner" "me" {}

data "coder_parameter" "size" {
  name    = "size"
  type    = "number"
  default = "1"
  mutable = true

  validation {
    min       = 1
    monotonic = "increasing"
  }
}

resource "coder_agent" "main" {
  os   = "linux"
  arch = "amd64"
}

resource "terraform_data" "box" {
  input = coder_agent.main.token
}

resource "coder_metadata" "told" {
  resource_id = terraform_data.box.id

  dynamic "item" {
    for_each = {
      access_url       = data.coder_workspace.me.access_url
      access_port      = tostring(data.coder_workspace.me.access_port)
      workspace        = data.coder_workspace.me.name
      transition       = data.coder_workspace.me.transition
      template         = data.coder_workspace.me.template_name
      template_version = data.coder_workspace.me.template_version
      owner            = data.coder_workspace_owner.me.name
      groups           = join(",", data.coder_workspace_owner.me.groups)
      login_type       = data.coder_workspace_owner.me.login_type
      session_token    = data.coder_workspace_owner.me.session_token
      size             = data.coder_parameter.size.value
      fetches_agent    = tostring(strcontains(coder_agent.main.init_script, "bin/coder-linux-amd64"))
    }

    content {
      key   = item.key
      value = item.value
    }
  }
}
