# A state of 128 kB that no compression makes smaller, and then some time in apply.
variable "seconds" {
  type    = number
  default = 0
}

resource "terraform_data" "bulk" {
  input = join("", [for number in range(1000) : sha512(number)])
}

resource "terraform_data" "slow" {
  depends_on = [terraform_data.bulk]

  provisioner "local-exec" {
    command = "sleep ${var.seconds}"
  }
}
