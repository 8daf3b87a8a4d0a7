#!/usr/bin/env bash
# Puts a kustomize of version 5 at .tools/bin/kustomize where neither kubectl nor kustomize on the PATH is new enough.
# Debian's stable release has one; on an older Debian its package is unpacked, not installed. Elsewhere: says what to do.
# Running it again does nothing. Without a network it fails with a message, and nothing is left half done.
set -euo pipefail
cd "$(dirname "$0")/.."
target=.tools/bin/kustomize

is_new_enough() { # version 5 or later; a build of Debian's does not say its version, so: it builds what we have
  local version
  version=$("$1" version ${2:+--client} 2>/dev/null | sed -nE 's/.*Kustomize Version: //p; s/^v?([0-9]+\.[0-9.]+)$/\1/p' | tail -n 1)
  if [[ "${version#v}" =~ ^([0-9]+)\. ]] && [ "${BASH_REMATCH[1]}" -lt 5 ]; then return 1; fi
  "$1" "${2:-build}" kustomize/overlays/dev >/dev/null 2>&1
}

if [ "${1:-}" != --force ]; then
  for tried in "kubectl kustomize" kustomize "$target"; do
    # shellcheck disable=SC2086
    if is_new_enough $tried; then
      echo "kustomize: ${tried%% *} is new enough"
      exit 0
    fi
  done
fi
if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
  echo "error: no kustomize 5 → install kubectl 1.28 or later (https://kubernetes.io/docs/tasks/tools/)" >&2
  exit 2
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{lists/partial,archives/partial,unpacked} "$(dirname "$target")"
mirror=$(sed -nE 's/^(URIs: |deb (\[[^]]*\] )?)(https?:[^ ]*debian)\/? ?.*/\3/p' \
  /etc/apt/sources.list.d/*.sources /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null | head -n 1 || true)
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror:-http://deb.debian.org/debian} trixie main" \
  >"$work/sources.list"
apt=(apt-get -q -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
  -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work" -o "Dir::Cache::archives=$work/archives"
  -o Acquire::Languages=none -o APT::Sandbox::User= -o Acquire::Retries=3)
if ! "${apt[@]}" update >"$work/log" 2>&1 || ! (cd "$work" && "${apt[@]}" download kustomize >>"$work/log" 2>&1); then
  tail -n 3 "$work/log" >&2
  echo "error: could not fetch kustomize from Debian → install kubectl 1.28 or later yourself" >&2
  exit 2
fi
dpkg-deb -x "$work"/kustomize_*.deb "$work/unpacked"
install -m 0755 "$work/unpacked/usr/bin/kustomize" "$target.part"
if ! is_new_enough "$target.part"; then
  echo "error: Debian's kustomize cannot build kustomize/overlays/dev → install kubectl 1.28 or later yourself" >&2
  rm -f "$target.part"
  exit 2
fi
mv "$target.part" "$target"
echo "kustomize: $("$target" version) at $target"
