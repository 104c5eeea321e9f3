# A machine that stays and is stopped; the agent proves itself by the machine's identity.
terraform {
  required_providers {
    coder = {
      source = "coder/coder"
    }
    aws = {
      source = "hashicorp/aws"
    }
  }
}

locals {
  regions = {
    eu-central-1 = { name = "Frankfurt", icon = "/emojis/1f1e9-1f1ea.png" }
    us-east-1    = { name = "Virginia", icon = "/emojis/1f1fa-1f1f8.png" }
  }
}

data "coder_parameter" "region" {
  name         = "region"
  display_name = "Region"
  default      = "eu-central-1"
  mutable      = false

  dynamic "option" {
    for_each = local.regions

    content {
      name  = option.value.name
      value = option.key
      icon  = option.value.icon
    }
  }
}

data "coder_parameter" "instance_type" {
  name         = "instance_type"
  display_name = "Instance type"
  default      = "t3.micro"
  mutable      = true

  option {
    name  = "2 vCPU, 1 GiB"
    value = "t3.micro"
  }
  option {
    name  = "4 vCPU, 16 GiB"
    value = "t3.xlarge"
  }
}

provider "aws" {
  region = data.coder_parameter.region.value
}

data "coder_workspace" "me" {}
data "coder_workspace_owner" "me" {}

data "aws_ami" "ubuntu" {
  most_recent = true
  owners      = ["099720109477"]

  filter {
    name   = "virtualization-type"
    values = ["hvm"]
  }
}

resource "coder_agent" "dev" {
  count = data.coder_workspace.me.start_count
  arch  = "amd64"
  auth  = "aws-instance-identity"
  os    = "linux"
}

resource "coder_app" "terminal" {
  count    = data.coder_workspace.me.start_count
  agent_id = coder_agent.dev[0].id
  slug     = "htop"
  command  = "htop"
}

resource "coder_env" "path" {
  count          = data.coder_workspace.me.start_count
  agent_id       = coder_agent.dev[0].id
  name           = "EDITOR"
  value          = "vim"
  merge_strategy = "replace"
}

resource "aws_instance" "dev" {
  ami               = data.aws_ami.ubuntu.id
  availability_zone = "${data.coder_parameter.region.value}a"
  instance_type     = data.coder_parameter.instance_type.value
  user_data = templatefile("${path.module}/cloud-init.yaml.tftpl", {
    hostname    = lower(data.coder_workspace.me.name)
    init_script = base64encode(try(coder_agent.dev[0].init_script, ""))
  })

  root_block_device {
    volume_size = 40
  }

  tags = {
    Name              = "coder-${data.coder_workspace_owner.me.name}-${data.coder_workspace.me.name}"
    Coder_Provisioned = "true"
  }

  lifecycle {
    ignore_changes = [ami, user_data]
  }
}

resource "aws_ec2_instance_state" "dev" {
  instance_id = aws_instance.dev.id
  state       = data.coder_workspace.me.transition == "start" ? "running" : "stopped"
}

resource "coder_metadata" "machine" {
  resource_id = aws_instance.dev.id
  daily_cost  = data.coder_workspace.me.start_count == 1 ? 10 : 2

  item {
    key   = "region"
    value = data.coder_parameter.region.value
  }
  item {
    key   = "disk"
    value = "${aws_instance.dev.root_block_device[0].volume_size} GiB"
  }
}
