#!/bin/sh
# Runs both nginx, the one that clients meet and the inner one, and keeps the inner one's list of
# gateways at what Docker's DNS says, less those that say they drain. Needs nothing but busybox.
set -u

list=/run/gateways.list # included by gateways.conf
pid=/run/gateways.pid

# found prints a line for each gateway to send requests to.
found() {
    for address in $(nslookup -type=a gateway 2>/dev/null |
        awk '/^Name:/ { told = 1 } told && /^Address/ && match($0, /[0-9]+(\.[0-9]+)+/) { print substr($0, RSTART, RLENGTH) }'); do
        # All at once: one that hangs must not hold up the others.
        { drains "$address" || echo "server $address:8080 max_fails=1 fail_timeout=1s;"; } &
    done | sort
}

# Only the word of the gateway itself counts. One that is silent is nginx's to avoid.
drains() { timeout 1 wget -q -O /dev/null "http://$1:8080/ready" 2>&1 | grep -q ' 503'; }

store() { printf '%s\n' "$1" >"$list.new" && mv "$list.new" "$list"; }

# follow reloads the inner nginx when the list has changed, and returns when that is gone. Nobody
# found means that the DNS or all gateways are ill: the last list is the better guess.
follow() {
    until [ -s $pid ]; do sleep 1; done # before it a signal would end it
    while sleep 1 && kill -0 "$inner"; do
        now=$(found)
        if [ -n "$now" ] && [ "$now" != "$last" ]; then
            store "$now" && kill -HUP "$inner" && last=$now
        fi
    done
}

last=$(found)
rm -f $pid /run/gateways.sock
store "${last:-server 127.0.0.1:1 down;}" || exit 1
nginx -c /etc/nginx/gateways.conf -g 'daemon off;' &
inner=$!
{ follow; kill -QUIT $$; } & # the container ends, and is started again
exec nginx -g 'daemon off;'  # as $$: the signals are its own
