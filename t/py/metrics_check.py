# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a page of /metrics and says what is wrong with it, by the text format 0.0.4 or by OpenMetrics 1.0."""
import re

SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')
SUFFIX = {'counter': ['_total'], 'histogram': ['_bucket', '_sum', '_count'], 'info': ['_info'], 'gauge': ['']}


def labels_of(text):
    out, at = [], 0
    while at < len(text):
        m = LABEL.match(text, at)
        if not m:
            return None
        out.append((m.group(1), m.group(2)))
        at = m.end()
    return tuple(out)


def check(text, openmetrics=False):
    """A list of faults, and {(name, labels): value}."""
    faults, values, types = [], {}, {}
    family = None
    lines = text.split('\n')
    if lines.pop() != '':
        faults.append('no newline at the end')
    if openmetrics and (not lines or lines.pop() != '# EOF'):
        faults.append('no # EOF')
    for line in lines:
        if line.startswith('# HELP '):
            family = line.split(' ', 3)[2]
            if family in types:
                faults.append('family twice: ' + family)
            types[family] = None
            continue
        if line.startswith('# TYPE '):
            _, _, name, kind = line.split(' ')
            if name != family or types[family] is not None or kind not in SUFFIX:
                faults.append('misplaced: ' + line)
            types[name] = kind
            continue
        m = SAMPLE.match(line)
        labels = labels_of(m.group(3) or '') if m else None
        if labels is None or family is None:
            faults.append('no sample: ' + line)
            continue
        ends = SUFFIX[types[family]] if openmetrics or types[family] == 'histogram' else ['']
        if m.group(1) not in [family + e for e in ends]:
            faults.append('sample of another family: ' + line)
        if (m.group(1), labels) in values:
            faults.append('twice: ' + line)
        if len(set(n for n, _ in labels)) != len(labels):
            faults.append('label twice: ' + line)
        values[(m.group(1), labels)] = float(m.group(4))
    if not openmetrics:
        faults += ['counter without _total: ' + f for f, k in types.items() if k == 'counter' and not f.endswith('_total')]
    return faults, values
