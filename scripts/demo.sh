#!/bin/sh
# From documents to an assistant that answers, quotes and abstains: the sample clinic, on this machine's CPU.
set -eu
project=${1:-demo}
if [ ! -f "$project/mirim.toml" ]; then
    mirim new "$project" --from clinic
fi
mirim build --project "$project"
for question in \
    "How long do I have to fast before my blood test?" \
    "Qual o horário da unidade Lagoa no sábado?" \
    "Which football team won the championship last year?"
do
    printf '\n> %s\n' "$question"
    mirim ask --project "$project" "$question"
done
printf '\nNow type:\n  %s/mirim chat --project %s\n  %s/mirim serve --project %s\n' \
    "$(dirname "$(command -v mirim)")" "$project" "$(dirname "$(command -v mirim)")" "$project"
