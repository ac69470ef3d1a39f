#!/bin/sh
# Makes an authority and one certificate with the names of all pods, for links between nodes: `certificates.sh FOLDER [DAYS]`.
# With an authority in the folder (ca.crt, ca.key), it signs a new certificate by that one.
set -eu
folder=${1:?usage: certificates.sh FOLDER [DAYS]}
days=${2:-365}
umask 077
mkdir -p "$folder"
cd "$folder"
key="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"

names=""
for number in 0 1 2 3 4 5 6; do # seven pods are more than a cluster needs
    names="$names${names:+,}DNS:chronos-$number,DNS:chronos-$number.chronos-nodes"
done

# Says something only where it fails.
ssl() {
    openssl "$@" 2>openssl.log || {
        cat openssl.log >&2
        exit 1
    }
}

# shellcheck disable=SC2086 # a list
[ -e ca.key ] || ssl req -x509 $key -keyout ca.key -out ca.crt -days 3650 -subj "/CN=chronos nodes"
# shellcheck disable=SC2086
ssl req $key -keyout tls.key.new -out tls.csr -subj "/CN=chronos"
printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$names" >tls.ext
ssl x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days "$days" -out tls.crt.new -extfile tls.ext
mv tls.key.new tls.key
mv tls.crt.new tls.crt
rm tls.csr tls.ext openssl.log
