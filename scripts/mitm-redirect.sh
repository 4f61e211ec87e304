#!/bin/bash
# Everything that Gravimeter needs root for: the redirect rules, the agent's user and one sudoers file.
#
# What enters: options. What leaves: rules in chains of their own, IPv4 and IPv6 or neither, and a record of them.
# It touches no rule, user or file that it did not make, and writes nothing below /tmp.
set -euo pipefail
umask 022
# sudo runs this file as root for an unprivileged user, whose PATH must not choose the programs.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C

readonly STATE=/var/lib/gravimeter
readonly COPY=/usr/local/libexec/gravimeter/mitm-redirect
readonly EXIT_USAGE=2 EXIT_NOT_ACTIVE=3

usage() {
    cat <<'USAGE'
Usage: mitm-redirect install [OPTIONS]          redirect the TLS traffic of one user, or one cgroup, to a local port
       mitm-redirect remove [--purge] [--name]  take everything away again; --purge: also user, sudoers file, record
       mitm-redirect status [--name]            one line per family; exit 0 when all rules are in place, 3 when not

  --user USER        user whose traffic is redirected, created when missing   [antigravity-ls]
  --cgroup PATH      cgroup whose traffic is redirected, in the place of a user: its path in the cgroup v2 hierarchy, created when
                     missing and given to the operator
  --name NAME        name of this instance, at most 16 of a-z 0-9 -           [gravimeter]
  --port PORT        where its TCP port 443 is redirected to, on loopback     [8742]
  --keep-away PORTS  local TCP ports that it may not reach directly           [8741,8742,8743]
  --operator USER    user who runs gravimeter and may start the agent by sudo [the user who called sudo]
  --program PATH     the gravimeter executable, for the sudoers file          [no sudoers file]
  --no-sudoers       write no sudoers file
USAGE
}

main() {
    read_options "$@"
    [[ $EUID -eq 0 ]] || fail "this needs root: run it with sudo"
    chain=GRAVIMETER_$name
    record=/var/lib/gravimeter-redirect/$name
    sudoers=/etc/sudoers.d/gravimeter
    [[ $name == gravimeter ]] || sudoers+=-$name
    find_backend
    find_families
    "do_$command"
}

read_options() {
    command=${1-}
    case $command in
        install | remove | status) shift ;;
        -h | --help) usage && exit 0 ;;
        *) usage >&2 && exit $EXIT_USAGE ;;
    esac
    user=antigravity-ls cgroup='' name=gravimeter port=8742 keep_away=8741,8742,8743
    operator='' program='' purge=''
    local no_sudoers=''
    while (($#)); do
        case $1 in
            --no-sudoers) no_sudoers=yes && shift && continue ;;
            --purge) purge=yes && shift && continue ;;
            --user | --cgroup | --name | --port | --keep-away | --operator | --program) ;;
            *) misuse "unknown option $1" ;;
        esac
        (($# > 1)) || misuse "$1 needs a value"
        local key=${1#--}
        printf -v "${key//-/_}" %s "$2"
        shift 2
    done
    [[ -z $no_sudoers ]] || program=''
    check_options
}

check_options() {
    local user_form='^[a-z_][a-z0-9_-]{0,31}$'
    [[ $name =~ ^[a-z0-9-]{1,16}$ ]] || misuse "--name: use 1 to 16 of a-z, 0-9 and -"
    [[ $user =~ $user_form ]] || misuse "--user: not a user name"
    local cgroup_form='^[A-Za-z0-9_@.:-]+(/[A-Za-z0-9_@.:-]+)*$'
    [[ -z $cgroup || $cgroup =~ $cgroup_form && /$cgroup/ != */../* ]] \
        || misuse "--cgroup: use the path of a cgroup below the hierarchy's root, of letters, digits and _ @ . : - /"
    is_port "$port" || misuse "--port: use a number from 1 to 65535"
    check_keep_away
    # Whoever is named must be right, whether or not a sudoers file is written. The caller of sudo is only a guess, and with
    # --no-sudoers it is root who runs gravimeter.
    [[ $operator != "$user" ]] || misuse "--operator: must not be the redirected user, who would intercept himself"
    [[ -z $operator || $operator =~ $user_form ]] || misuse "--operator: not a user name"
    [[ -n $program ]] || return 0
    operator=${operator:-${SUDO_USER-}}
    [[ $operator =~ $user_form ]] || misuse "--operator: name the user who runs gravimeter, or give --no-sudoers"
    [[ $operator != "$user" ]] || misuse "--operator: must not be the redirected user, who would intercept himself"
    # sudoers gives a meaning to other characters.
    [[ $program =~ ^/[A-Za-z0-9/._+-]+$ ]] || misuse "--program: use an absolute path of letters, digits and / . _ + -"
    [[ -f $program && -x $program ]] || misuse "--program: $program is not an executable file"
}

# An empty list keeps nothing away. iptables takes 15 ports in one rule.
check_keep_away() {
    [[ -n $keep_away ]] || return 0
    local remedy="--keep-away: use up to 15 numbers from 1 to 65535, separated by commas" ports each
    [[ $keep_away =~ ^[0-9]+(,[0-9]+)*$ ]] || misuse "$remedy"
    IFS=, read -ra ports <<<"$keep_away"
    ((${#ports[@]} <= 15)) || misuse "$remedy"
    for each in "${ports[@]}"; do
        is_port "$each" || misuse "$remedy"
    done
}

is_port() { [[ $1 =~ ^[1-9][0-9]{0,4}$ ]] && (($1 <= 65535)); }

fail() { printf 'mitm-redirect: %s\n' "$*" >&2 && exit 1; }

misuse() { printf 'mitm-redirect: %s\n' "$*" >&2 && exit $EXIT_USAGE; }

# The rules are put in place by iptables, and by nft where iptables is not installed: by the same of both for as long as they last.
find_backend() {
    backend=iptables nft_name=gravimeter_${name//-/_}
    if [[ -r $record/backend ]]; then
        read -r backend <"$record/backend"
    elif ! type -P iptables-save >/dev/null && type -P nft >/dev/null; then
        backend=nft
    fi
    [[ $backend == iptables || $backend == nft ]] || fail "$record/backend: neither iptables nor nft; remove that file"
}

# A family counts when the kernel has it; rules for the other one would protect nothing.
find_families() {
    families=(ipv4)
    [[ ! -e /proc/net/if_inet6 ]] || families+=(ipv6)
    local family
    if [[ $backend == nft ]]; then
        type -P nft >/dev/null || fail "nft is missing, by which the rules were installed: install the nftables package"
        nft list tables >/dev/null 2>&1 \
            || fail "the kernel refuses nft: CAP_NET_ADMIN is missing (in a container: cap_add NET_ADMIN), or its modules are"
        return
    fi
    for family in "${families[@]}"; do
        type -P "$(tool "$family")-save" >/dev/null || fail "$(tool "$family") is missing: install the iptables package"
        "$(tool "$family")-save" -t filter >/dev/null 2>&1 \
            || fail "the kernel refuses $(tool "$family"): CAP_NET_ADMIN is missing (in a container: cap_add NET_ADMIN), or its modules are"
    done
}

tool() { [[ $1 == ipv4 ]] && echo iptables || echo ip6tables; }

do_install() {
    local family whose
    if [[ -n $cgroup ]]; then
        make_cgroup
        whose="cgroup $cgroup"
    else
        make_user
        uid=$(id -u "$user")
        [[ $uid -ne 0 ]] || fail "root cannot be redirected: gravimeter's own traffic may be root's"
        warn_of_running
        whose="user $user (uid $uid)"
    fi
    mkdir -p "$record"
    printf '%s\n' "$backend" >"$record/backend"
    # Both are tried before either is changed; what fails in spite of that is rolled back.
    for family in "${families[@]}"; do
        rules "$family" | commit "$family" --test || fail "$family: the kernel would not take the rules; nothing was changed"
    done
    for family in "${families[@]}"; do
        rules "$family" | commit "$family" || {
            remove_rules || true
            fail "$family: the kernel did not take the rules; those of every family were removed"
        }
        ours "$family" >"$record/$family"
    done
    if [[ -n $program ]]; then
        write_sudoers
        make_state_folder
    fi
    [[ -z $cgroup ]] || printf '%s %s\n' "$port" "$cgroup" >"$record/cgroup"
    printf '%s: TCP 443 goes to port %s, UDP 443 is rejected (%s)\n' "$whose" "$port" "${families[*]}"
    [[ ${#families[@]} -eq 2 ]] || echo "IPv6 is off in this kernel: no IPv6 rules are needed"
}

# What iptables-restore or nft shall do, one transaction per table. An old installation is replaced within it, so that
# nobody is without rules in between.
rules() {
    local family=$1
    [[ $backend == iptables ]] || { nft_rules && return; }
    local owner=(-m owner --uid-owner "${uid-}") mark=(-m comment --comment gravimeter)
    [[ -z $cgroup ]] || owner=(-m cgroup --path "$cgroup")
    echo '*nat' && echo ":$chain - [0:0]" && jumps "$family" nat
    echo "-I OUTPUT 1 -p tcp ${owner[*]} -m tcp --dport 443 ${mark[*]} -j $chain"
    echo "-A $chain -p tcp ${mark[*]} -j REDIRECT --to-ports $port"
    echo COMMIT
    echo '*filter' && echo ":$chain - [0:0]" && jumps "$family" filter
    echo "-I OUTPUT 1 ${owner[*]} ${mark[*]} -j $chain"
    # HTTP/3 would bypass the redirect; rejected, and not dropped, clients fall back to TCP at once.
    echo "-A $chain -p udp -m udp --dport 443 ${mark[*]} -j REJECT"
    echo "-A $chain -p tcp -m conntrack --ctstate DNAT ${mark[*]} -j RETURN"
    [[ -z $keep_away ]] \
        || echo "-A $chain -o lo -p tcp -m multiport --dports $keep_away ${mark[*]} -j REJECT --reject-with tcp-reset"
    echo COMMIT
}

nft_rules() {
    local whose="meta skuid ${uid-}" slashes
    if [[ -n $cgroup ]]; then
        slashes=${cgroup//[^\/]/}
        whose="socket cgroupv2 level $((${#slashes} + 1)) \"$cgroup\""
    fi
    # A table that is added first can be deleted whether or not it was there.
    printf '%s\n' "add table $(nft_table "$family")" "delete table $(nft_table "$family")" "table $(nft_table "$family") {" \
        "chain nat {" "type nat hook output priority -100;" "$whose tcp dport 443 redirect to :$port" "}" \
        "chain filter {" "type filter hook output priority 0;" "$whose udp dport 443 reject" "$whose ct status dnat accept"
    [[ -z $keep_away ]] || echo "$whose oifname lo tcp dport { $keep_away } reject with tcp reset"
    printf '%s\n' "}" "}"
}

nft_table() { [[ $1 == ipv4 ]] && echo "ip $nft_name" || echo "ip6 $nft_name"; }

# Deletions of every rule that leads into our chain.
jumps() { saved "$1" "$2" | sed -n "s/^-A \(.* -j $chain\)\$/-D \1/p"; }

saved() { "$(tool "$1")-save" -t "$2" 2>/dev/null; }

commit() {
    local family=$1
    shift
    if [[ $backend == nft ]]; then
        nft ${1:+--check} -f -
        return
    fi
    "$(tool "$family")-restore" --noflush --wait 10 "$@"
}

# Our rules of one family as the kernel has them now.
ours() {
    if [[ $backend == nft ]]; then
        nft "list table $(nft_table "$1")" 2>/dev/null || true
        return
    fi
    local table
    for table in nat filter; do
        saved "$1" "$table" | grep -E "^-A ($chain |.* -j $chain\$)" | sed "s/^/$table /" || true
    done
}

do_remove() {
    remove_rules || fail "some rules could not be removed: see above, then run remove again"
    [[ -z $purge ]] || forget
    # A record that holds nothing any more says nothing.
    rmdir "$record" "${record%/*}" 2>/dev/null || true
    echo "the rules of $name are removed"
}

remove_rules() {
    local family table result=0
    for family in "${families[@]}"; do
        if [[ $backend == nft ]]; then
            [[ -z $(ours "$family") ]] || nft "delete table $(nft_table "$family")" || result=1
            rm -f "$record/$family"
            continue
        fi
        for table in nat filter; do
            saved "$family" "$table" | grep -q "^:$chain " || continue
            { echo "*$table" && echo ":$chain - [0:0]" && jumps "$family" "$table" && echo "-X $chain" && echo COMMIT; } \
                | commit "$family" || result=1
        done
        rm -f "$record/$family"
    done
    return $result
}

forget() {
    rm -f "$sudoers"
    if [[ -e $record/created && $(<"$record/created") =~ ^[a-z_][a-z0-9_-]*$ ]]; then
        local created=${BASH_REMATCH[0]}
        ! id "$created" >/dev/null 2>&1 || userdel --remove "$created" 2>/dev/null \
            || fail "user $created could not be removed: stop its processes, then run remove --purge again"
    fi
    if [[ -e $record/made-cgroups ]]; then
        local made
        while read -r made; do
            [[ ! -d $made ]] || rmdir "$made" 2>/dev/null \
                || fail "$made cannot be removed: stop its processes, then run remove --purge again"
        done <"$record/made-cgroups"
    fi
    [[ ! -e $record/made-state ]] || rm -rf "$STATE"
    rm -rf "$record"
    # The copy serves every instance: it goes with the last one.
    if rmdir "${record%/*}" 2>/dev/null; then
        rm -f "$COPY"
        rmdir "${COPY%/*}" 2>/dev/null || true
    fi
}

do_status() {
    local family result=0 state
    for family in ipv4 ipv6; do
        state=$(state "$family")
        echo "$family $state"
        [[ $state == active || $state == disabled ]] || result=$EXIT_NOT_ACTIVE
    done
    exit $result
}

# active: exactly what install left; inactive: nothing; partial: anything between, also when the record is lost.
state() {
    [[ " ${families[*]} " == *" $1 "* ]] || { echo disabled && return; }
    local now
    now=$(ours "$1")
    if [[ -z $now ]]; then
        echo inactive
    elif [[ -r $record/$1 && $now == "$(<"$record/$1")" ]]; then
        echo active
    else
        echo partial
    fi
}

make_user() {
    ! id "$user" >/dev/null 2>&1 || return 0
    useradd --system --user-group --create-home --home-dir "/var/lib/$user" --shell /usr/sbin/nologin "$user"
    chmod 700 "/var/lib/$user"
    mkdir -p "$record"
    printf '%s\n' "$user" >"$record/created"
    echo "user $user: made, without a login shell"
}

# The rules name a cgroup that exists; the operator may put processes of its own into it.
make_cgroup() {
    # Beside version 1, version 2 is mounted elsewhere.
    local root folder missing=''
    root=$(awk '$3 == "cgroup2" && (!root || $2 == "/sys/fs/cgroup") { root = $2 } END { print root }' /proc/mounts)
    [[ -n $root ]] || fail "this machine has no cgroup v2 hierarchy: mount one (mount -t cgroup2 none /sys/fs/cgroup)"
    folder=$root/$cgroup
    while [[ ! -d $folder ]]; do
        missing+=$folder$'\n' folder=${folder%/*}
    done
    if [[ -n $missing ]]; then
        mkdir -p "$root/$cgroup" "$record"
        printf %s "$missing" >>"$record/made-cgroups"
    fi
    [[ -z $operator ]] || chown "$operator" "$root/$cgroup" "$root/$cgroup/cgroup.procs"
}

warn_of_running() {
    [[ -n $(ours ipv4) || -z $(find /proc -maxdepth 1 -name '[0-9]*' -uid "$uid" -print -quit 2>/dev/null) ]] \
        || echo "warning: connections that $user opened before now stay direct and unmetered: restart its processes" >&2
}

# The agent's user reads its certificates there, which it could not below a closed home.
make_state_folder() {
    [[ $name == gravimeter && ! -e $STATE ]] || return 0
    install -d -m 755 -o "$operator" "$STATE"
    touch "$record/made-state"
    echo "$STATE: made for $operator"
}

write_sudoers() {
    mkdir -p "${COPY%/*}"
    own_text >"$COPY.new" && chmod 755 "$COPY.new" && mv "$COPY.new" "$COPY"
    # sudo reads no file with a dot in its name, so that a half-written one has no effect.
    local new=$sudoers.new
    cat >"$new" <<SUDOERS
# Written by mitm-redirect for gravimeter; "mitm-redirect remove --purge --name $name" deletes it.
Defaults!$program env_reset, !setenv, !use_pty, !requiretty
$operator ALL=($user) NOPASSWD: NOSETENV: $program agent-exec, $program agent-signal
$operator ALL=(root) NOPASSWD: NOSETENV: $COPY status --name $name
SUDOERS
    chmod 440 "$new"
    visudo -cqf "$new" >&2 || { rm -f "$new" && fail "visudo refuses the sudoers file; the rules are in place without it"; }
    mv "$new" "$sudoers"
    echo "$sudoers: $operator may start and signal an agent as $user, and run $COPY status as root"
}

# `bash -c "$script"` keeps the text in a variable, a file is read again.
own_text() {
    if [[ -n ${BASH_EXECUTION_STRING-} ]]; then
        printf %s "$BASH_EXECUTION_STRING"
    else
        cat "${BASH_SOURCE[0]}"
    fi
}

main "$@"
