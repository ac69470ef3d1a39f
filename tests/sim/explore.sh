#!/bin/sh
# A short exploration for ctest, from a drawn seed: CHRONOS_SIM_SECONDS long (20).
exec "$1" --seconds "${CHRONOS_SIM_SECONDS:-20}"
