#!/bin/bash
# Installs, upgrades, removes and purges a package on a copy of this machine, which only this process sees and which is gone
# after it: a read-only view of the real one below, memory above. To be run by `unshare --mount --net`.
#   machine.sh PACKAGE
set -euo pipefail

package=$1
# Only this process sees what is mounted there.
machine=/mnt
mount -t tmpfs none "$machine"
mkdir "$machine"/{above,work,root}
root=$machine/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$machine/above,workdir=$machine/work" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
cp "$package" "$root/root/package.deb"
# As when an image is made: no service manager runs.
rm -rf "$root/run/systemd"

inside() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 "$@"; }
as_service() {
  inside setpriv --reuid=gravimeter --regid=gravimeter --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
}
as_redirect_unit() { inside setpriv --no-new-privs --bounding-set=-all,+net_admin,+net_raw --inh-caps=-all "$@"; }
expect() { [ "$1" = "$2" ] || { echo "$3: $1, and not $2" >&2; exit 1; }; }
config=(--config /etc/gravimeter/gravimeter.toml)

ip link set lo up
echo "== install"
inside dpkg --force-depends -i /root/package.deb
expect "$(inside stat -c '%U %a' /var/lib/gravimeter)" "gravimeter 755" "the state"
expect "$(inside stat -c '%U %a' /var/lib/antigravity-ls)" "antigravity-ls 700" "the agent's home"
[ -L "$root/etc/systemd/system/multi-user.target.wants/gravimeter.service" ]
for unit in gravimeter-agent.service gravimeter-redirect.service; do
  [ ! -e "$root/etc/systemd/system/multi-user.target.wants/$unit" ] || { echo "$unit is enabled" >&2; exit 1; }
done
as_service gravimeter config check "${config[@]}"
as_service gravimeter doctor "${config[@]}"

echo "== the rules, with the capabilities of their unit"
as_redirect_unit gravimeter redirect install --no-sudoers "${config[@]}"
inside gravimeter redirect status "${config[@]}"
as_redirect_unit gravimeter redirect remove "${config[@]}"
expect "$(inside gravimeter redirect status "${config[@]}" | sort -u | tr '\n' ' ')" "ipv4 inactive ipv6 inactive " "rules"

echo "== the agent by sudo, with the capabilities and the files of the drop-in"
examples=$root/usr/share/doc/gravimeter/examples
drop_in=$examples/gravimeter.service.d/agent-by-sudo.conf
inside gravimeter redirect install --operator gravimeter --program /usr/bin/gravimeter "${config[@]}"
cmp <(grep -v '^#' "$root/etc/sudoers.d/gravimeter") <(grep -v '^#' "$examples/sudoers")
capabilities=$(sed -n 's/^CapabilityBoundingSet=CAP/+CAP/p' "$drop_in" | tr '[:upper:]' '[:lower:]' | sed 's/+cap_/+/; s/ cap_/,+/g')
mapfile -t variables < <(sed -n 's/^Environment=//p' "$drop_in" | grep -v PRESET)
variables+=(GRAVIMETER_AGENT_COMMAND=/usr/bin/sleep GRAVIMETER_AGENT_ARGS=1000)
# What the unit leaves writable; everything else is read-only from here on, for this one step.
for folder in gravimeter antigravity-ls; do mount --bind "$root/var/lib/$folder" "$root/var/lib/$folder"; done
mount -o remount,ro,bind "$root" 2>/dev/null || { mount --bind "$root" "$root" && mount -o remount,ro,bind "$root"; }
chroot "$root" setpriv --reuid=gravimeter --regid=gravimeter --clear-groups --inh-caps=-all --ambient-caps=-all \
  --bounding-set="-all,$capabilities" /usr/bin/env -i PATH=/usr/bin:/bin "${variables[@]}" gravimeter serve "${config[@]}" &
serving=$!
for _ in $(seq 100); do
  ready=$(inside curl -s http://127.0.0.1:8741/readyz || true)
  [[ $ready != '{"ready":true'* ]] || break
  sleep 0.1
done
[[ $ready == '{"ready":true'* ]] || { echo "not ready: $ready" >&2; exit 1; }
agent_uid=$(inside id -u antigravity-ls)
agent=$(find /proc -maxdepth 1 -name '[0-9]*' -uid "$agent_uid" -printf '%f\n' 2>/dev/null | tail -1)
expect "$(awk '/^(CapEff|NoNewPrivs):/ { print $2 }' "/proc/$agent/status" | tr '\n' ' ')" "0000000000000000 1 " "the agent's rights"
kill "$serving" && wait "$serving"
expect "$(find /proc -maxdepth 1 -name '[0-9]*' -uid "$agent_uid" 2>/dev/null)" "" "the agent is ended with its meter"
mount -o remount,rw,bind "$root"
umount "$root"/var/lib/{gravimeter,antigravity-ls}
inside gravimeter redirect remove "${config[@]}"

echo "== upgrade: what somebody has set and what runs stays"
echo '# mine' >>"$root/etc/gravimeter/gravimeter.toml"
as_redirect_unit gravimeter redirect install --no-sudoers "${config[@]}"
inside dpkg --force-depends -i /root/package.deb
grep -q '# mine' "$root/etc/gravimeter/gravimeter.toml"
inside gravimeter redirect status "${config[@]}"

echo "== remove: no rule is left"
inside dpkg -r gravimeter
expect "$(inside iptables-save | grep -c GRAVIMETER || true)" 0 "rules"
[ -d "$root/var/lib/gravimeter" ]

echo "== purge: no trace is left"
inside dpkg -P gravimeter
expect "$(cat "$root"/etc/{passwd,group,shadow} | grep -cE '^(gravimeter|antigravity-ls):' || true)" 0 "users"
expect "$(find "$root"/{etc,usr,var/lib,run} -path "$root/var/lib/dpkg" -prune -o -name '*gravi*' -newer "$root/root/package.deb" -print)" "" "files"
echo "nothing is left"
