#!/bin/sh
# Replaces the running gateways one after the other by ones of the image and the settings of now, as
# after `docker compose build` or a change of .env. A new one is healthy before an old one drains, so
# there are never fewer than before, and no request is lost.
#
#   COMPOSE='docker compose -f docker-compose.yml -f deploy/compose.admin.yml' deploy/rolling.sh
set -eu
cd "$(dirname "$0")/.."
compose=${COMPOSE:-docker compose}
patience=${PATIENCE:-60} # seconds for a new one to become healthy

# shellcheck disable=SC2086 # a command and its arguments
compose() { $compose "$@"; }

fresh() { # those that were not there at the beginning
    for each in $(compose ps -q gateway); do
        case $old in *"$each"*) ;; *) echo "$each" ;; esac
    done
}

health() { docker inspect --format '{{.State.Health.Status}}' "$1"; }

# Whether every new one is. The old ones are not asked: they may be what is to be mended.
healthy() {
    new=$(fresh)
    [ -n "$new" ] || return 1
    for each in $new; do
        [ "$(health "$each")" = healthy ] || return 1
    done
}

# Takes the new one away that is not: it would be sent requests, and be in the way of the next attempt.
give_up() {
    echo "rolling: a new gateway is not healthy after $patience s; the old ones that are left go on. It said:" >&2
    for each in $(fresh); do
        [ "$(health "$each")" = healthy ] && continue
        docker logs --tail 20 "$each" >&2 || true
        docker stop -t 30 "$each" >/dev/null
        docker rm "$each" >/dev/null
    done
    exit 1
}

await_health() {
    left=$patience
    until healthy; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || give_up
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
