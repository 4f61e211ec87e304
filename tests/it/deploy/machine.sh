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
