# The cheapest build of real Terraform: nothing but a price, no provider to start.
variable "workspace_transition" {
  type    = string
  default = "start"
}

variable "seconds" {
  type    = number
  default = 0
}

resource "terraform_data" "price" {
  input = { daily_cost = var.workspace_transition == "start" ? 4 : 1 }

  provisioner "local-exec" {
    command = "sleep ${var.seconds}"
  }
}
