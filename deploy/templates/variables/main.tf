# Asks the user who pushes the template for a variable that has no default: the import of a version
# without a value for `image` fails with REQUIRED_TEMPLATE_VARIABLES before anything is planned.

variable "image" {
  type        = string
  description = "Image that the workspace is made from."
}

resource "terraform_data" "dev" {
  input = {
    daily_cost = 2
    image      = var.image
  }
}
