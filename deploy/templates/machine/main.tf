# The plain case: one machine in the ledger cloud while the workspace is started.
# Priced at 4 credits a day while started and at 1 (its disk) while stopped.
terraform {
  required_providers {
    ledger = {
      source  = "provisionerd.test/demo/ledger"
      version = "1.0.0"
    }
  }
}

variable "ledger_dir" {
  type        = string
  description = "Folder in which the ledger cloud keeps its machines."
}

# Set by provisionerd; the defaults are for running Terraform by hand.
variable "start_count" {
  type    = number
  default = 1
}

variable "workspace_name" {
  type    = string
  default = "by-hand"
}

variable "workspace_transition" {
  type    = string
  default = "start"
}

variable "workspace_owner" {
  type    = string
  default = "nobody"
}

variable "workspace_id" {
  type    = string
  default = ""
}

resource "ledger_machine" "dev" {
  count     = var.start_count
  ledger    = var.ledger_dir
  name      = "${var.workspace_owner}-${var.workspace_name}-${count.index}"
  workspace = var.workspace_id
}

resource "terraform_data" "price" {
  input = { daily_cost = var.workspace_transition == "start" ? 4 : 1 }
}
