# Asks the user who creates the workspace for a parameter that has no default: a build
# without a value for `region` is refused with MISSING_TEMPLATE_PARAMETER.

variable "parameter_region" {
  type        = string
  description = "Region in which the workspace runs."
}

resource "terraform_data" "dev" {
  input = {
    daily_cost = 2
    region     = var.parameter_region
  }
}
