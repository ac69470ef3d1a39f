#!/bin/sh
# A short exploration for ctest, from a drawn seed: SIM_SECONDS long (20).
exec "$1" --seconds "${SIM_SECONDS:-20}"
