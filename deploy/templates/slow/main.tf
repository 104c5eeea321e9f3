# For cancelling in the middle of an apply: one machine is there at once, then four
# more take `create_seconds` each, all at a time.
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

variable "create_seconds" {
  type        = number
  default     = 30
  description = "How long each of the slow machines takes."
}

variable "stop_seconds" {
  type        = number
  default     = 0
  description = "How long each of them takes to answer when it is interrupted."
}

resource "ledger_machine" "first" {
  count     = var.start_count
  ledger    = var.ledger_dir
  name      = "${var.workspace_name}-first"
  workspace = var.workspace_name
}

resource "ledger_machine" "slow" {
  count          = var.start_count * 4
  ledger         = var.ledger_dir
  name           = "${var.workspace_name}-slow-${count.index}"
  workspace      = var.workspace_name
  create_seconds = var.create_seconds
  stop_seconds   = var.stop_seconds
  depends_on     = [ledger_machine.first]
}

resource "terraform_data" "price" {
  input = { daily_cost = 3 }
}
