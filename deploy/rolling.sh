#!/bin/sh
# Replaces the running gateways one after the other by ones of the image and the settings of now, as
# after `docker compose build` or a change of .env. A new one is healthy before an old one drains, so
# there are never fewer than before, and no request is lost.
#
#   COMPOSE='docker compose -f docker-compose.yml -f deploy/compose.admin.yml' deploy/rolling.sh
set -eu
cd "$(dirname "$0")/.."
compose=${COMPOSE:-docker compose}
patience=60 # seconds for a new one to become healthy

# shellcheck disable=SC2086 # a command and its arguments
compose() { $compose "$@"; }

healthy() { # whether every gateway says so
    for each in $(compose ps -q gateway); do
        [ "$(docker inspect --format '{{.State.Health.Status}}' "$each")" = healthy ] || return 1
    done
}

await_health() {
    left=$patience
    until healthy; do
        left=$((left - 1))
        if [ "$left" -eq 0 ]; then
            echo "rolling: a new gateway is not healthy after $patience s; the old ones that are left go on" >&2
            exit 1
        fi
        sleep 1
    done
}

old=$(compose ps -q gateway)
if [ -z "$old" ]; then
    echo 'rolling: no gateway runs' >&2
    exit 1
fi
count=$(echo "$old" | wc -l)
for id in $old; do
    compose up -d --no-deps --no-recreate --scale gateway=$((count + 1)) gateway
    await_health
    docker stop -t 30 "$id" >/dev/null # drains; as stop_grace_period
    docker rm "$id" >/dev/null
done
