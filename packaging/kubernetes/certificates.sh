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
for number in 0 1 2 3 4 5 6; do # as many nodes as a cluster has at most
    names="$names${names:+,}DNS:chronos-$number,DNS:chronos-$number.chronos-nodes"
done

# shellcheck disable=SC2086 # a list
[ -e ca.key ] || openssl req -x509 $key -keyout ca.key -out ca.crt -days 3650 -subj "/CN=chronos nodes" 2>/dev/null
# shellcheck disable=SC2086
openssl req $key -keyout tls.key -out tls.csr -subj "/CN=chronos" 2>/dev/null
printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$names" >tls.ext
openssl x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days "$days" -out tls.crt -extfile tls.ext 2>/dev/null
rm tls.csr tls.ext
