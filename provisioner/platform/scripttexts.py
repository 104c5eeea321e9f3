"""The scripts that start an agent on a machine, one for each operating system.

``${ARCH}`` is replaced here, ``${ACCESS_URL}`` (it ends with a slash) and ``${AUTH_TYPE}`` by the
provider. All other ``${...}`` are of the shell. The token is not in them: a template gives it to
the machine as ``CODER_AGENT_TOKEN``.
"""

from __future__ import annotations

_UNIX_HEAD = """\
#!/usr/bin/env sh
set -eux
# After a failure the machine stays as it is for a day, so that somebody can look for the reason.
wait_on_failure() {
	status=$?
	if [ "$status" -ne 0 ]; then
		echo "The agent did not start (status $status). This script waits for 24 hours." >&2
		sleep 86400
	fi
	exit "$status"
}
trap wait_on_failure EXIT
"""
_UNIX_TAIL = """\
chmod +x "$BINARY"
export CODER_AGENT_AUTH="${AUTH_TYPE}"
export CODER_AGENT_URL="${ACCESS_URL}"
version=$("./$BINARY" --version | head -n 1)
case "$version" in
*Coder*) ;;
*)
	echo "$BINARY_URL is not an agent: it says '$version' as its version." >&2
	exit 2
	;;
esac
exec "./$BINARY" agent
"""
LINUX = (
    _UNIX_HEAD
    + """\
BINARY=coder
BINARY_URL="${ACCESS_URL}bin/coder-linux-${ARCH}"
BINARY_DIR="${BINARY_DIR:-$(mktemp -d -t coder.XXXXXX)}"
mkdir -p "$BINARY_DIR"
cd "$BINARY_DIR"
fetch() {
	if command -v curl >/dev/null 2>&1; then
		curl -fsSL --compressed "$BINARY_URL" -o "$BINARY"
	elif command -v wget >/dev/null 2>&1; then
		wget -q "$BINARY_URL" -O "$BINARY"
	elif command -v busybox >/dev/null 2>&1; then
		busybox wget -q "$BINARY_URL" -O "$BINARY"
	else
		echo "Neither curl nor wget nor busybox is installed, so no agent can be fetched." >&2
		exit 127
	fi
}
until fetch; do
	echo "$BINARY_URL could not be fetched; trying again in 30 seconds." >&2
	sleep 30
done
if [ -n "${USE_CAP_NET_ADMIN:-}" ]; then
	sudo -n setcap CAP_NET_ADMIN=+ep "./$BINARY" ||
		echo "CAP_NET_ADMIN needs setcap, and sudo without a password." >&2
fi
"""
    + _UNIX_TAIL
)
DARWIN = (
    _UNIX_HEAD
    + """\
BINARY=coder
BINARY_URL="${ACCESS_URL}bin/coder-darwin-${ARCH}"
cd "$(mktemp -d -t coder.XXXXXX)"
until curl -fsSL --compressed "$BINARY_URL" -o "$BINARY"; do
	echo "$BINARY_URL could not be fetched; trying again in 30 seconds." >&2
	sleep 30
done
"""
    + _UNIX_TAIL
)
WINDOWS = """\
$ErrorActionPreference = "Stop"
trap {
    Write-Error -Message "The agent did not start: $_" -ErrorAction Continue
    Start-Sleep -Seconds 86400
    exit 1
}
# VS Code finds the agent by this name.
$Binary = Join-Path $env:TEMP "sshd.exe"
$Url = "${ACCESS_URL}bin/coder-windows-${ARCH}.exe"
while ($true) {
    try {
        [Net.ServicePointManager]::SecurityProtocol = [Net.SecurityProtocolType]::Tls12
        Invoke-WebRequest -UseBasicParsing -Uri $Url -OutFile $Binary
        break
    } catch {
        Write-Output "$Url could not be fetched ($_); trying again in 30 seconds."
        Start-Sleep -Seconds 30
    }
}
if (Get-Command Add-MpPreference -ErrorAction SilentlyContinue) {
    Add-MpPreference -ExclusionPath $Binary
}
$env:CODER_AGENT_AUTH = "${AUTH_TYPE}"
$env:CODER_AGENT_URL = "${ACCESS_URL}"
$Version = & $Binary --version | Select-Object -First 1
if ($Version -notlike "*Coder*") {
    throw "$Url is not an agent: it says '$Version' as its version."
}
# The processes of a container end with the first one.
if (Get-Service -Name cexecsvc -ErrorAction SilentlyContinue) {
    & $Binary agent
} else {
    Start-Process -FilePath $Binary -ArgumentList "agent" -NoNewWindow
}
"""
