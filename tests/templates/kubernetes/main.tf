# A deployment whose size are parameters, a claim that stays, presets. Deployment and claim have the
# same id, as objects of one namespace may.
terraform {
  required_providers {
    coder = {
      source = "coder/coder"
    }
    kubernetes = {
      source = "hashicorp/kubernetes"
    }
  }
}

variable "namespace" {
  type        = string
  description = "Namespace of the workspaces; it must exist."
}

variable "use_kubeconfig" {
  type        = bool
  default     = false
  description = "Whether the daemon is outside of the cluster."
}

variable "registry_password" {
  type      = string
  default   = ""
  sensitive = true
}

provider "kubernetes" {
  config_path = var.use_kubeconfig ? "~/.kube/config" : null
}

data "coder_parameter" "cpu" {
  name         = "cpu"
  display_name = "CPU"
  description  = "Number of processor cores."
  type         = "number"
  default      = "2"
  icon         = "/icon/memory.svg"
  mutable      = true
  order        = 1

  option {
    name  = "2 cores"
    value = "2"
  }
  option {
    name  = "4 cores"
    value = "4"
  }
}

data "coder_parameter" "home_size" {
  name         = "home_disk_size"
  display_name = "Home disk size"
  description  = "Gigabytes; it can only grow."
  type         = "number"
  default      = "10"
  mutable      = true
  order        = 2

  validation {
    min       = 1
    max       = 100
    monotonic = "increasing"
    error     = "Choose {min} to {max} gigabytes."
  }
}

data "coder_parameter" "region" {
  name      = "region"
  form_type = "dropdown"
  mutable   = false
  order     = 3

  option {
    name  = "Frankfurt"
    value = "eu"
    icon  = "/emojis/1f1ea-1f1fa.png"
  }
  option {
    name  = "Ohio"
    value = "us"
  }
}

data "coder_parameter" "tools" {
  name      = "tools"
  type      = "list(string)"
  form_type = "multi-select"
  default   = jsonencode(["git"])
  mutable   = true

  option {
    name  = "Git"
    value = "git"
  }
  option {
    name  = "Helm"
    value = "helm"
  }
}

data "coder_parameter" "wipe" {
  name      = "wipe"
  type      = "bool"
  default   = "false"
  mutable   = true
  ephemeral = true
}

data "coder_workspace_preset" "small" {
  name        = "Small"
  description = "Two cores in Frankfurt."
  default     = true
  parameters = {
    (data.coder_parameter.cpu.name)    = "2"
    (data.coder_parameter.region.name) = "eu"
  }
}

data "coder_workspace_preset" "large" {
  name = "Large"
  icon = "/icon/memory.svg"
  parameters = {
    (data.coder_parameter.cpu.name)       = "4"
    (data.coder_parameter.home_size.name) = "50"
    (data.coder_parameter.region.name)    = "us"
  }

  prebuilds {
    instances = 2

    expiration_policy {
      ttl = 86400
    }

    scheduling {
      timezone = "Europe/Berlin"

      schedule {
        cron      = "* 8-18 * * 1-5"
        instances = 5
      }
    }
  }
}

data "coder_workspace" "me" {}
data "coder_workspace_owner" "me" {}

resource "coder_agent" "main" {
  os   = "linux"
  arch = "amd64"

  display_apps {
    vscode                 = false
    port_forwarding_helper = false
  }

  resources_monitoring {
    memory {
      enabled   = true
      threshold = 80
    }
    volume {
      path      = "/home/coder"
      enabled   = true
      threshold = 90
    }
  }
}

locals {
  name  = "coder-${data.coder_workspace.me.id}"
  token = coder_agent.main.token
}

resource "kubernetes_persistent_volume_claim" "home" {
  wait_until_bound = false

  metadata {
    name      = local.name
    namespace = var.namespace
  }

  spec {
    access_modes = ["ReadWriteOnce"]

    resources {
      requests = {
        storage = "${data.coder_parameter.home_size.value}Gi"
      }
    }
  }
}

resource "kubernetes_deployment" "main" {
  count      = data.coder_workspace.me.start_count
  depends_on = [kubernetes_persistent_volume_claim.home]

  metadata {
    name      = local.name
    namespace = var.namespace
    labels = {
      "app.kubernetes.io/name" = "coder-workspace"
      "com.coder.user.id"      = data.coder_workspace_owner.me.id
    }
  }

  spec {
    replicas = 1

    selector {
      match_labels = {
        "app.kubernetes.io/name" = "coder-workspace"
      }
    }

    template {
      metadata {
        name = local.name
      }

      spec {
        container {
          name    = "dev"
          image   = "codercom/enterprise-base:ubuntu"
          command = ["sh", "-c", coder_agent.main.init_script]

          env {
            name  = "CODER_AGENT_TOKEN"
            value = local.token
          }

          resources {
            limits = {
              cpu = data.coder_parameter.cpu.value
            }
          }

          volume_mount {
            mount_path = "/home/coder"
            name       = "home"
          }
        }

        volume {
          name = "home"

          persistent_volume_claim {
            claim_name = kubernetes_persistent_volume_claim.home.metadata[0].name
          }
        }
      }
    }
  }
}

resource "coder_metadata" "deployment" {
  count       = data.coder_workspace.me.start_count
  resource_id = kubernetes_deployment.main[0].id
  daily_cost  = 8
  icon        = "/icon/k8s.png"

  item {
    key   = "namespace"
    value = var.namespace
  }
  item {
    key       = "password"
    value     = "registry-${data.coder_workspace.me.name}"
    sensitive = true
  }
  item {
    key = "note"
  }
}
