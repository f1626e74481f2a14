#!/usr/bin/env bash
# Measures the gateway with everything on beside nginx's bare proxy_pass: the same load, the same
# upstream, one core for the proxy, the other for load and upstream, interleaved rounds.
#
#   bench.sh [ROUNDS] [SECONDS]      prints requests/s, p50, p99 and CPU µs per request
#
# Needs wrk, nginx, redis-server and taskset. Everything listens on 127.0.0.1 and stops by itself.
# On a shared machine only the ratios mean something.
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds=${1:-3} seconds=${2:-5} connections=64
for tool in wrk nginx redis-server taskset; do
  command -v "$tool" >/dev/null || { echo "bench.sh needs $tool" >&2; exit 1; }
done

dir=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; wait 2>/dev/null; rm -rf "$dir"' EXIT
CGO_ENABLED=0 go build -tags nethttpomithttp2 -trimpath -ldflags '-s -w' -o "$dir/gateway" ./cmd/gateway

nginx_config() { # NAME LISTEN LOCATION
  cat >"$dir/$1.conf" <<CONF
worker_processes 1; daemon off; pid $dir/$1.pid; error_log $dir/$1.log crit;
events { worker_connections 1024; }
http {
  access_log off; keepalive_requests 1000000;
  client_body_temp_path $dir/t1; proxy_temp_path $dir/t2; fastcgi_temp_path $dir/t3; uwsgi_temp_path $dir/t4; scgi_temp_path $dir/t5;
  upstream up { server 127.0.0.1:19000; keepalive 128; keepalive_requests 1000000; }
  server { listen 127.0.0.1:$2 reuseport; location / { $3 } }
}
CONF
}
body=$(printf 'x%.0s' {1..1024})
nginx_config upstream 19000 "return 200 '$body';"
nginx_config bare 19001 'proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection "";'
cat >"$dir/full.yaml" <<CONF
server: {host: 127.0.0.1, port: 19002}
admin: {port: 0}
redis: {addrs: ["127.0.0.1:19003"]}
otel: {endpoint: "127.0.0.1:1", sample_ratio: 0.01}
cors: {allow_origins: ["https://app.example"]}
jwt: {secret: "a-secret-for-this-benchmark-alone-32b"}
global_rate_limit: {rps: 100000, burst: 100000}
routes:
  - path: "/api/*"
    upstream: "http://127.0.0.1:19000"
    auth_required: true
    rate_limits: [{key_by: user, rps: 100000, burst: 100000}, {key_by: ip, rps: 100000, burst: 100000}]
    retry: {attempts: 2}
CONF
token=$("$dir/gateway" -config "$dir/full.yaml" -token bench)

taskset -c 1 nginx -c "$dir/upstream.conf" -p "$dir" &
taskset -c 1 redis-server --bind 127.0.0.1 --port 19003 --save '' --dir "$dir" >/dev/null &
taskset -c 0 nginx -c "$dir/bare.conf" -p "$dir" &
GOMAXPROCS=1 taskset -c 0 "$dir/gateway" -config "$dir/full.yaml" >"$dir/access.log" &
gateway=$!
for port in 19000 19001 19002 19003; do
  for _ in {1..100}; do (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.1; done
done
worker=$(pgrep -P "$(cat "$dir/bare.pid")")

cpu() { awk '{ print ($14 + $15) * 10000 }' "/proc/$1/stat"; } # µs, at 100 ticks a second
measure() { # NAME PID URL
  local before after
  before=$(cpu "$2")
  taskset -c 1 wrk -t1 -c$connections -d"${seconds}s" --latency -H "Authorization: Bearer $token" "$3" >"$dir/wrk"
  after=$(cpu "$2")
  awk -v name="$1" -v cpu=$((after - before)) '
    /50%/ { p50 = $2 } /99%/ { p99 = $2 } /requests in/ { n = $1 } /Requests\/sec/ { rps = $2 } /Non-2xx/ { bad = $NF }
    END { printf "%-10s %9.0f req/s   p50 %9s   p99 %9s   %6.1f µs CPU/request   %d not 2xx\n", name, rps, p50, p99, cpu / n, bad }' "$dir/wrk"
}
for _ in $(seq "$rounds"); do
  measure nginx "$worker" http://127.0.0.1:19001/api/x
  measure gateway "$gateway" http://127.0.0.1:19002/api/x
done
