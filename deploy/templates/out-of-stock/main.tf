# The cloud itself says no during apply: "insufficient quota in us-east1".
# The words look like our quota refusal, but the build must stay without an error code.
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

resource "ledger_machine" "dev" {
  count     = var.start_count
  ledger    = var.ledger_dir
  name      = var.workspace_name
  fail_with = "insufficient quota in us-east1"
}

resource "terraform_data" "price" {
  input = { daily_cost = 2 }
}
