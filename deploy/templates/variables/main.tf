# Asks the user who pushes the template for a variable that has no default: a build of a
# version without a value for `image` fails with REQUIRED_TEMPLATE_VARIABLES before it is planned.

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
