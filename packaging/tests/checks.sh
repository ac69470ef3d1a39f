# What must hold of the installed packages, in a booted root; sourced by run.sh. Each function is one check and fails by its exit code.

ctl() { inside chronosctl "$@"; }

# Without the network: what is not in apt's archive cannot be installed. A configuration that both sides changed stays the admin's.
apt_get() {
    verb=$1
    shift
    inside apt-get "$verb" -q -y --no-install-recommends -o Dpkg::Options::=--force-confold "$@" >"$work/apt.log" 2>&1 || {
        tail -5 "$work/apt.log" >&2
        return 1
    }
}

use_repository() {
    inside install -D -m 0644 /packages/repository/chronos.gpg /etc/apt/keyrings/chronos.gpg &&
        inside sh -c 'printf "Types: deb\nURIs: file:/packages/repository\nSuites: stable\nComponents: main\nSigned-By: %s\n" \
            /etc/apt/keyrings/chronos.gpg >/etc/apt/sources.list.d/chronos.sources' &&
        inside mkdir /etc/apt/only && inside ln -s ../sources.list.d/chronos.sources /etc/apt/only/ &&
        inside apt-get update -q -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts=/etc/apt/only -o APT::Get::List-Cleanup=0 \
            -o APT::Update::Error-Mode=any >"$work/apt.log" 2>&1 &&
        says chronos_ inside apt-get --print-uris -q download chronos || {
        tail -5 "$work/apt.log" >&2
        return 1
    }
}

# until_true SECONDS COMMAND...: polls; a deadline ends a test that hangs.
until_true() {
    deadline=$(($(date +%s) + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        if [ "$(date +%s)" -ge "$deadline" ]; then
            echo "waited in vain for: $*" >&2
            return 1
        fi
        sleep 0.1
    done
}

# says WORDS COMMAND...: the output holds WORDS.
says() {
    wanted=$1
    shift
    "$@" >"$work/said" 2>&1 || true
    grep -qF -- "$wanted" "$work/said" || {
        echo "\"$*\" does not say \"$wanted\":" >&2
        tail -5 "$work/said" >&2
        return 1
    }
}

succeeded() { [ "$(ctl execution list --job "$1" --status success --limit 1 -o name)" ]; }
# Not as one start too many in a minute, whatever the checks before did.
restart() { inside systemctl reset-failed chronos 2>/dev/null || true; inside systemctl restart chronos; }
main_pid() { inside systemctl show -P MainPID "${1:-chronos}"; }
journal() { inside journalctl -u "${1:-chronos}" -b -o cat; }
errors() { inside journalctl -u chronos -b -o cat -p err; }

# --- installed and started by apt, nothing else ---

install_to_first_run() {
    begun=$(date +%s%N)
    apt_get install $installed || return 1
    ctl job create --name first --schedule '@every 1s' --command 'id -un' >/dev/null && until_true 30 succeeded first || return 1
    echo "from apt-get install to the first run: $((($(date +%s%N) - begun) / 1000000)) ms"
    says chronos ctl execution output "$(ctl execution list --job first --status success --limit 1 -o name)"
}

what_is_there() {
    [ "$(inside stat -c '%a %U %G' /var/lib/chronos)" = "750 chronos chronos" ] &&
        [ "$(inside systemctl is-enabled chronos)" = enabled ] &&
        [ "$(inside stat -c %U "/proc/$(main_pid)")" = chronos ] &&
        says "/etc/chronos/chronos.yaml" inside dpkg-query -W -f '${Conffiles}' chronos &&
        says "valid" inside chronos config validate -f /etc/chronos/chronos.yaml &&
        says "strict: true" inside cat /etc/chronos/chronos.yaml &&
        says "became leader" journal &&
        for file in man/man8/chronos.8.gz man/man5/chronos.yaml.5.gz man/man7/chronos-plugins.7.gz man/man1/chronosctl.1.gz \
            bash-completion/completions/chronosctl zsh/vendor-completions/_chronosctl fish/vendor_completions.d/chronosctl.fish; do
            inside test -s "/usr/share/$file" || return 1
        done
}

# From the kernel's word that the process exists to READY=1, on an empty store: the fastest of five, as it is the machine's noise that makes
# the others slower. The aim is 300 ms; a machine that is busy with other things may take ten times that, and has not failed.
start_to_ready() {
    best=999999
    for _ in 1 2 3 4 5; do
        inside systemctl stop chronos && inside sh -c 'rm -rf /var/lib/chronos/*' && restart || return 1
        begun=$(inside systemctl show -P ExecMainStartTimestampMonotonic chronos)
        ready=$(inside systemctl show -P ActiveEnterTimestampMonotonic chronos)
        [ $(((ready - begun) / 1000)) -lt "$best" ] && best=$(((ready - begun) / 1000))
        ctl job create --name "probe" --schedule @manually --command true >/dev/null || return 1 # ready means that it takes writes
    done
    echo "from start to ready: $best ms (aim: below 300)"
    [ "$best" -lt 3000 ]
}

# --- the unit ---

# exposure TENTHS: what it is at most.
exposure() {
    inside systemd-analyze security --no-pager chronos.service | sed -n 's/.*Overall exposure level.*: \([0-9.]*\).*/\1/p' >"$work/exposure"
    echo "systemd-analyze security: exposure $(cat "$work/exposure")"
    [ "$(tr -d . <"$work/exposure")" -le "$1" ]
}

the_sandbox() {
    ctl job create --name write --schedule @manually --command 'touch /var/lib/chronos/x /tmp/x && ! touch /etc/x && ! touch /home/x &&
        ! unshare -U true && nice -n 5 true && ls -la /proc/meminfo' >/dev/null &&
        ctl job trigger write --wait >/dev/null || {
        ctl execution output "$(ctl execution list --job write --limit 1 -o name)"
        return 1
    }
    exposure 20
}

the_webhook_drop_in() {
    inside install -D -m 0644 /usr/share/chronos/systemd/webhook-only.conf /etc/systemd/system/chronos.service.d/webhook-only.conf &&
        inside sed -i 's/^  #shell: {}/  shell: false/' /etc/chronos/chronos.yaml &&
        inside systemctl daemon-reload && restart &&
        ctl job create --name hook --schedule @manually --webhook http://127.0.0.1:8080/live --method GET >/dev/null &&
        ctl job trigger hook --wait >/dev/null && reload || return 1
    exposure 15 || return 1
    inside rm -r /etc/systemd/system/chronos.service.d && inside sed -i 's/^  shell: false/  #shell: {}/' /etc/chronos/chronos.yaml &&
        inside systemctl daemon-reload && restart
}

# A loop that hangs is ended and started again.
the_watchdog() {
    inside mkdir -p /run/systemd/system/chronos.service.d &&
        inside sh -c 'printf "[Service]\nWatchdogSec=1\n" >/run/systemd/system/chronos.service.d/watchdog.conf' &&
        inside systemctl daemon-reload && restart || return 1
    hung=$(main_pid)
    inside sh -c "kill -STOP $hung" || return 1
    until_true 30 another_pid "$hung" && until_true 30 ctl job list &&
        inside rm -r /run/systemd/system/chronos.service.d && inside systemctl daemon-reload && restart
}
another_pid() { [ "$(main_pid)" != "$1" ] && [ "$(main_pid)" != 0 ] && inside systemctl is-active -q chronos; }

reload() { inside systemctl reload chronos && until_true 10 says "log reopened" journal; }

# Refused is said with the reason, and not tried for ever.
refuses() {
    inside systemctl stop chronos
    "$@" || return 1
    inside systemctl start chronos 2>/dev/null && return 1
    inside systemctl is-failed -q chronos && [ "$(inside systemctl show -P NRestarts chronos)" = 0 ] || return 1
    inside systemctl stop chronos
    inside systemctl reset-failed chronos
}
strict() {
    refuses inside sed -i 's/^    address: 127.0.0.1:8080/    address: 0.0.0.0:8080/' /etc/chronos/chronos.yaml &&
        says "security.strict: server.http.address 0.0.0.0:8080 listens beyond this machine" errors &&
        ! errors | grep -F "became leader" &&
        inside sed -i 's/^    address: 0.0.0.0:8080/    address: 127.0.0.1:8080/' /etc/chronos/chronos.yaml && restart
}
newer_data() {
    refuses inside sed -i 's/^chronos-data 1/chronos-data 99/' /var/lib/chronos/chronos-data &&
        says "written by a newer version of Chronos (format 99, this one knows 1): install that version again" journal &&
        inside sed -i 's/^chronos-data 99/chronos-data 1/' /var/lib/chronos/chronos-data && restart && until_true 10 ctl job list
}

sqlite() {
    inside systemctl stop chronos && inside mv /var/lib/chronos /var/lib/chronos.lmdb && inside install -d -o chronos -g chronos -m 0750 /var/lib/chronos &&
        inside sed -i 's/^  #backend: lmdb/  backend: sqlite/' /etc/chronos/chronos.yaml && restart &&
        ctl job create --name first --schedule '@every 1s' --command true >/dev/null && until_true 30 succeeded first &&
        inside systemctl stop chronos && inside rm -r /var/lib/chronos && inside mv /var/lib/chronos.lmdb /var/lib/chronos &&
        inside sed -i 's/^  backend: sqlite/  #backend: lmdb/' /etc/chronos/chronos.yaml && restart
}

# --- what belongs to others ---

# The template, built in the root with what the development package installs, and run by the service.
a_plugin() {
    inside cp -r /usr/share/chronos/templates/executor /root/hello && inside make -s -C /root/hello &&
        says " 0 failed" inside chronos-plugin-check /root/hello/executor_hello.so && inside make -s -C /root/hello install &&
        inside sed -i 's/^  #http: {}/  hello: {}/' /etc/chronos/chronos.yaml && restart &&
        ctl job create --name greet --schedule @manually --executor hello --config '{"name": "package"}' >/dev/null &&
        ctl job trigger greet --wait >/dev/null &&
        says "Hello, package!" ctl execution output "$(ctl execution list --job greet --limit 1 -o name)" &&
        inside sed -i 's/^  hello: {}/  #http: {}/' /etc/chronos/chronos.yaml && restart
}

# --- three nodes: the service itself, and two units made of its own ---

node_config() { # NUMBER
    peers=""
    [ "$1" = 1 ] || peers='"127.0.0.1:7000"'
    cat <<END
cluster:
  node_id: chronos-$1
  data_dir: /var/lib/$(unit "$1")
  raft: {address: "127.0.0.$1:7000", peers: [$peers]}
server: {http: {address: "127.0.0.$1:8080"}}
security: {strict: true}
END
}
unit() { [ "$1" = 1 ] && echo chronos || echo "chronos-$1"; }
three_nodes() {
    inside systemctl stop chronos && inside sh -c 'rm -rf /var/lib/chronos/*' || return 1
    for number in 1 2 3; do
        node_config "$number" >"$work/share/node.yaml"
        inside install -m 0644 /share/node.yaml "/etc/chronos/$(unit "$number").yaml" || return 1
        [ "$number" = 1 ] || inside sh -c "sed 's|/chronos/chronos.yaml|/chronos/chronos-$number.yaml|; s|StateDirectory=chronos|&-$number|;
            s|RuntimeDirectory=chronos|&-$number|; s|/var/lib/chronos\$|&-$number|' /lib/systemd/system/chronos.service >/run/systemd/system/chronos-$number.service"
    done
    inside systemctl daemon-reload && inside systemctl start chronos chronos-2 chronos-3 && until_true 30 leader_is chronos-1 3 &&
        ctl job create --name all --schedule '@every 1s' --command true >/dev/null && until_true 30 succeeded all
}
leader_is() { # NODE VOTERS, as node 2 sees it
    inside chronosctl -s 127.0.0.2:8080 cluster status -o json >"$work/status" || return 1
    python3 - "$work/status" "$1" "$2" <<'END'
import json, sys
status = json.load(open(sys.argv[1]))
states = {peer["id"]: peer["state"] for peer in status["peers"]}
sys.exit(0 if states.get(sys.argv[2]) == "Leader" and len(states) == int(sys.argv[3])
         and all(state in ("Leader", "Follower") for state in states.values()) else 1)
END
}

# --- upgrade, remove, purge ---

# apt says what the service would say in the journal alone.
broken_configuration() {
    inside sh -c 'cp -p /etc/chronos/chronos.yaml /root/ && echo "clutser: {}" >>/etc/chronos/chronos.yaml' &&
        apt_get install --reinstall chronos && says "clutser" cat "$work/apt.log" && says "mend it, then: systemctl restart chronos" cat "$work/apt.log" &&
        inside cp -p /root/chronos.yaml /etc/chronos/ && restart
}

# One node, with jobs, history and an edited configuration; the older version then has the newer one's data.
one_node_upgraded() {
    ctl job create --name first --schedule '@every 1s' --command 'echo kept' >/dev/null && until_true 30 succeeded first || return 1
    run=$(ctl execution list --job first --status success --limit 1 -o name)
    before=$(main_pid)
    inside sh -c 'echo "# edited by hand" >>/etc/chronos/chronos.yaml'
    apt_get install $installed && another_pid "$before" && goes_on "$run" && before=$(main_pid) &&
        apt_get install --allow-downgrades chronos=0older chronosctl=0older && another_pid "$before" && goes_on "$run"
}
# What was is there, and slots run after it.
goes_on() { # EXECUTION
    says "# edited by hand" inside cat /etc/chronos/chronos.yaml && until_true 10 ctl job list && says kept ctl execution output "$1" || return 1
    last=$(ctl execution list --job first --limit 1 -o name)
    until_true 30 ran_since "$last"
}
ran_since() { [ "$(ctl execution list --job first --status success --limit 1 -o name)" != "$1" ] && succeeded first; }

upgrade() {
    before=$(main_pid)
    inside sh -c 'echo "# edited by hand" >>/etc/chronos/chronos.yaml' && leader_is chronos-1 3 || return 1
    apt_get install $installed || return 1
    another_pid "$before" && says "# edited by hand" inside cat /etc/chronos/chronos.yaml &&
        says "handing over leadership" journal && until_true 30 others_lead && says all inside chronosctl -s 127.0.0.1:8080 job list -o name
}
others_lead() { leader_is chronos-2 3 || leader_is chronos-3 3; }

remove() {
    inside systemctl stop chronos-2 chronos-3 && apt_get remove chronos &&
        inside test -d /var/lib/chronos/log && inside test -e /etc/chronos/chronos.yaml && ! inside test -e /usr/bin/chronos &&
        ! inside systemctl is-active -q chronos
}
again() {
    apt_get install $installed && inside systemctl start chronos-2 chronos-3 &&
        until_true 30 says all inside chronosctl -s 127.0.0.1:8080 job list -o name
}
purge() {
    apt_get purge chronos &&
        ! inside test -e /var/lib/chronos && ! inside test -e /etc/chronos/chronos.yaml
}
