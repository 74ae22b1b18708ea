#!/usr/bin/env bash
# The demonstration behind `make demo`: a cluster, real nginx Pods, shared localhost, self-healing. Can be run again.
set -euo pipefail
cd "$(dirname "$0")/.."

cluster=${PODLING_DEMO_CLUSTER:-dev}
kubectl=(kubectl --context "podling-$cluster")
title() { printf '\n\033[1m%s\033[0m\n' "$1"; }
run() { printf '$ %s\n' "$*"; "$@"; }
now_ms() { date +%s%3N; }
since() { awk -v a="$1" -v b="$(now_ms)" 'BEGIN { printf "%.1f s", (b - a) / 1000 }'; }
fetch() {
  python - "$1" <<'PY'
import re, sys, urllib.request
page = urllib.request.urlopen(f"http://{sys.argv[1]}/", timeout=5).read().decode()
print("  http://" + sys.argv[1] + "/ → " + re.search("<title>(.*?)</title>", page)[1])
PY
}
# `kubectl wait --for=jsonpath` is younger than the kubectl of Debian 12 (1.20).
restarts_of() { "${kubectl[@]}" get pod "$1" -o jsonpath='{.status.containerStatuses[0].restartCount}'; }
container_of() {
  docker ps --quiet --no-trunc --filter "label=io.podling.cluster=$cluster" \
    --filter "label=io.kubernetes.pod.name=$1" --filter "label=io.kubernetes.container.name=$2"
}
replaced() { local now; now=$(container_of "$1" nginx) && [ -n "$now" ] && [ "$now" != "$2" ]; }
restarted() { [ "$(restarts_of "$1")" -gt "$2" ]; }
await() { # SECONDS COMPLAINT COMMAND...: run the command until it succeeds
  local end=$((SECONDS + $1)) complaint=$2
  shift 2
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || { echo "podling: $complaint" >&2; exit 1; }
    sleep 0.02
  done
}

title "1. A cluster"
begin=$(now_ms)
run podling up --name "$cluster"
up_time=$(since "$begin")

title "2. nginx: a Pod and a Deployment of three"
begin=$(now_ms)
run "${kubectl[@]}" apply -f manifests/nginx.yaml
run "${kubectl[@]}" rollout status deployment/web --timeout=120s
"${kubectl[@]}" wait --for=condition=Ready pod/nginx --timeout=120s
nginx_time=$(since "$begin")
for ip in $("${kubectl[@]}" get pods -l 'app in (nginx, web)' -o jsonpath='{.items[*].status.podIP}'); do fetch "$ip"; done

title "3. Shared localhost, processes and IPC in one Pod"
run "${kubectl[@]}" apply -f manifests/shared-localhost.yaml
run "${kubectl[@]}" wait --for=condition=Ready pod/shared-localhost --timeout=120s
run "${kubectl[@]}" logs shared-localhost -c sidecar

title "4. Self-healing"
# From a clean start: a Pod that was killed before waits longer and longer before it is restarted.
"${kubectl[@]}" delete -f manifests/self-healing.yaml --ignore-not-found >/dev/null
run "${kubectl[@]}" apply -f manifests/self-healing.yaml
"${kubectl[@]}" rollout status deployment/healing --timeout=120s
"${kubectl[@]}" wait --for=condition=Ready pod/steady --timeout=120s
old=$(container_of steady nginx)
restarts=$(restarts_of steady)
echo "Killing the nginx of Pod steady (SIGKILL) ..."
begin=$(now_ms)
docker kill "$old" >/dev/null
await 60 "Pod steady got no new container" replaced steady "$old"
heal_time=$(since "$begin")
await 60 "the API shows no restart of Pod steady" restarted steady "$restarts"
"${kubectl[@]}" wait --for=condition=Ready pod/steady --timeout=60s
echo "Deleting every Pod of Deployment healing ..."
"${kubectl[@]}" delete pods -l app=healing --wait=false
"${kubectl[@]}" rollout status deployment/healing --timeout=120s

title "What you have now"
run "${kubectl[@]}" get nodes
run "${kubectl[@]}" get pods -o wide
run docker ps --filter "label=io.podling.cluster=$cluster" --format 'table {{.Names}}\t{{.Image}}\t{{.Status}}'
cat <<TEXT

  cluster up ............................ $up_time
  four nginx Pods applied and Ready ..... $nginx_time
  killed nginx replaced after ........... $heal_time

Go on:
  kubectl --context podling-$cluster get pods -A     (podling-$cluster is the current context)
  kubectl scale deployment web --replicas 10
  kubectl exec -it nginx -- sh
  . .venv/bin/activate                               puts podling on your PATH
  podling status;  podling down;  podling up         state survives
  make down                                          delete the cluster and leave nothing behind
TEXT
