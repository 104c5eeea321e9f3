#!/bin/sh
# Make the passwords of compose.yaml, in deploy/secrets. What is already there stays.
set -eu
cd "$(dirname "$0")"

# Containers read the files as users of their own, so the folder is what keeps others out.
umask 022
mkdir -p secrets
chmod 0700 secrets
cd secrets

password() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

if [ ! -e database_url ]; then
    postgres="$(password)"
    printf '%s' "$postgres" >postgres_password
    printf '%s\n' "postgresql://provisionerd:$postgres@postgres:5432/provisionerd" >database_url
fi
if [ ! -e redis_url ]; then
    redis="$(password)"
    printf 'requirepass %s\n' "$redis" >redis_config
    printf 'redis://:%s@redis:6379/0\n' "$redis" >redis_url
fi
if [ ! -e grafana_password ]; then
    password >grafana_password
fi
echo "The passwords are in $(pwd)"
