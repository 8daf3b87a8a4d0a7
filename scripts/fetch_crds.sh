#!/usr/bin/env bash
# Fetches the CRDs that `make manifests` validates custom kinds against: scripts/fetch_crds.sh DIR, then
# LLM_TWIN_CRDS=DIR make manifests. Pinned by release; needs git and a network.
set -euo pipefail
target=${1:?give the folder to write to}
mkdir -p "$target"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fetch() { # NAME REPOSITORY TAG FOLDER: a sparse, shallow clone of one folder
  local name=$1 repository=$2 tag=$3 folder=$4
  git clone -q --depth 1 --filter=blob:none --sparse --branch "$tag" "https://github.com/$repository" "$work/$name"
  git -C "$work/$name" sparse-checkout set "$folder"
  mkdir -p "$target/$name"
  find "$work/$name/$folder" -name '*.yaml' -exec cp {} "$target/$name/" \;
  echo "$name $tag: $(find "$target/$name" -name '*.yaml' | wc -l) files"
}

fetch kserve kserve/kserve v0.21.0 config/crd/full
fetch keda kedacore/keda v2.18.0 config/crd/bases
fetch gateway-api kubernetes-sigs/gateway-api v1.4.0 config/crd/standard
fetch prometheus-operator prometheus-operator/prometheus-operator v0.86.0 example/prometheus-operator-crd
fetch cert-manager cert-manager/cert-manager v1.19.0 deploy/crds
fetch kueue kubernetes-sigs/kueue v0.15.0 config/components/crd/bases
