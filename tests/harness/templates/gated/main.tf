# Machines of the ledger cloud without its provider, whose start costs a second: a machine is a
# file that a command writes. Between the first machine and the last, each apply waits at a gate.
variable "ledger_dir" {
  type = string
}

variable "gate" {
  type        = string
  description = "File that lets an apply go on. A line is added to the file GATE.reached before."
}

variable "start_count" {
  type    = number
  default = 1
}

variable "workspace_id" {
  type    = string
  default = ""
}

variable "workspace_name" {
  type    = string
  default = "by-hand"
}

variable "workspace_transition" {
  type    = string
  default = "start"
}

resource "terraform_data" "first" {
  count = var.start_count
  input = { ledger = var.ledger_dir, name = "${var.workspace_name}-first", workspace = var.workspace_id }

  provisioner "local-exec" {
    command = "cd '${self.input.ledger}' && echo '${jsonencode(merge(self.input, { id = self.id }))}' >'${self.id}.draft' && mv '${self.id}.draft' '${self.id}.json'"
  }

  provisioner "local-exec" {
    when    = destroy
    command = "rm -f '${self.input.ledger}/${self.id}.json'"
  }
}

resource "terraform_data" "gate" {
  # Made anew by each build.
  triggers_replace = timestamp()
  depends_on       = [terraform_data.first]

  provisioner "local-exec" {
    command = "echo >>'${var.gate}.reached'; while [ ! -e '${var.gate}' ]; do sleep 0.05; done"
  }
}

resource "terraform_data" "last" {
  count      = var.start_count
  input      = { ledger = var.ledger_dir, name = "${var.workspace_name}-last", workspace = var.workspace_id }
  depends_on = [terraform_data.gate]

  provisioner "local-exec" {
    command = "cd '${self.input.ledger}' && echo '${jsonencode(merge(self.input, { id = self.id }))}' >'${self.id}.draft' && mv '${self.id}.draft' '${self.id}.json'"
  }

  provisioner "local-exec" {
    when    = destroy
    command = "rm -f '${self.input.ledger}/${self.id}.json'"
  }
}

resource "terraform_data" "price" {
  input = { daily_cost = var.workspace_transition == "start" ? 4 : 1 }
}
