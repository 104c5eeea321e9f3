# A version of the template `machine` that cannot be planned: nobody declares the variable `size`.
# Its import fails, so it never becomes active.
variable "ledger_dir" {
  type = string
}

resource "terraform_data" "dev" {
  input = { daily_cost = var.size }
}
