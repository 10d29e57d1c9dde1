/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The keymap: lines in the order in which they came, with two hash tables (by CKA_ID, by zone) of line
 * numbers. Removing a line rebuilds the tables: that is rare. The parent loads, changes and saves the file;
 * a vault holds the lines it was sent. One thread at a time changes a map; callers lock.
 */
#include "vault/keymap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"

#define KEYMAP_HEAD "zoneseal-keymap 1\n"
#define KEYMAP_FILE_MAX (2u << 30) /* 1,000,000 lines of the longest kind stay below */

static uint32_t hash_octets(const uint8_t *p, size_t len)
{
	uint32_t h = 2166136261u; /* FNV-1a: the octets come from our own parent, nobody floods them */

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 16777619u;
	return h ^ h >> 15;
}

static void table_add(uint32_t *table, size_t slots, uint32_t hash, size_t line)
{
	size_t i = hash & (slots - 1);

	while (table[i])
		i = (i + 1) & (slots - 1);
	table[i] = (uint32_t)line + 1;
}

static void index_line(struct keymap *m, size_t i)
{
	const struct keymap_line *l = &m->line[i];

	table_add(m->by_id, m->slots, hash_octets(l->id, KEY_ID_LEN), i);
	table_add(m->by_zone, m->slots, hash_octets(l->zone, l->zone_len), i);
}

static int index_build(struct keymap *m, size_t slots)
{
	uint32_t *id = calloc(slots, sizeof(*id)), *zone = calloc(slots, sizeof(*zone));

	if (!id || !zone) {
		free(id);
		free(zone);
		return ZS_ENOMEM;
	}
	free(m->by_id);
	free(m->by_zone);
	m->by_id = id;
	m->by_zone = zone;
	m->slots = slots;
	for (size_t i = 0; i < m->n; i++)
		index_line(m, i);
	return 0;
}

/* Room for one more line: the array doubles, the tables stay at most half full. */
static int keymap_grow(struct keymap *m)
{
	if (m->n >= KEYMAP_LINES_MAX)
		return ZS_ELIMIT;
	if (m->n == m->cap) {
		size_t cap = m->cap ? m->cap * 2 : 16;
		struct keymap_line *l = realloc(m->line, cap * sizeof(*l));

		if (!l)
			return ZS_ENOMEM;
		m->line = l;
		m->cap = cap;
	}
	if ((m->n + 1) * 2 > m->slots)
		return index_build(m, m->slots ? m->slots * 2 : 64);
	return 0;
}

static long find_index(const struct keymap *m, const uint8_t id[KEY_ID_LEN])
{
	if (!m->by_id) {
		for (size_t i = 0; i < m->n; i++)
			if (memcmp(m->line[i].id, id, KEY_ID_LEN) == 0)
				return (long)i;
		return -1;
	}
	for (size_t s = hash_octets(id, KEY_ID_LEN) & (m->slots - 1); m->by_id[s];
	     s = (s + 1) & (m->slots - 1))
		if (memcmp(m->line[m->by_id[s] - 1].id, id, KEY_ID_LEN) == 0)
			return (long)m->by_id[s] - 1;
	return -1;
}

const struct keymap_line *keymap_find(const struct keymap *m, const uint8_t id[KEY_ID_LEN])
{
	long i = find_index(m, id);

	return i < 0 ? NULL : &m->line[i];
}

static bool line_of_zone(const struct keymap_line *l, const uint8_t *zone, size_t len)
{
	return l->zone_len == len && memcmp(l->zone, zone, len) == 0;
}

const struct keymap_line *keymap_next_of_zone(const struct keymap *m, const uint8_t *zone, size_t zone_len,
					      size_t *at)
{
	if (!m->by_zone) {
		while (*at < m->n)
			if (line_of_zone(&m->line[(*at)++], zone, zone_len))
				return &m->line[*at - 1];
		return NULL;
	}
	/* *at counts the slots passed since the zone's first one */
	size_t first = hash_octets(zone, zone_len) & (m->slots - 1);

	while (*at < m->slots) {
		uint32_t v = m->by_zone[(first + *at) & (m->slots - 1)];

		if (!v)
			return NULL;
		(*at)++;
		if (line_of_zone(&m->line[v - 1], zone, zone_len))
			return &m->line[v - 1];
	}
	return NULL;
}

int keymap_put(struct keymap *m, const struct keymap_line *line)
{
	long i = find_index(m, line->id);

	if (i >= 0) {
		bool same = line_of_zone(&m->line[i], line->zone, line->zone_len);

		m->line[i] = *line;
		return same || !m->slots ? 0 : index_build(m, m->slots);
	}
	int rc = keymap_grow(m);

	if (rc)
		return rc;
	m->line[m->n] = *line;
	index_line(m, m->n++);
	return 0;
}

int keymap_remove(struct keymap *m, const uint8_t id[KEY_ID_LEN])
{
	long i = find_index(m, id);

	if (i < 0)
		return ZS_ENOENT;
	memmove(&m->line[i], &m->line[i + 1], (m->n - (size_t)i - 1) * sizeof(*m->line));
	m->n--;
	return index_build(m, m->slots ? m->slots : 64);
}

void keymap_free(struct keymap *m)
{
	if (!m)
		return;
	free(m->line);
	free(m->by_id);
	free(m->by_zone);
	memset(m, 0, sizeof(*m));
}

static int keymap_parse(char *text, struct keymap *m)
{
	char *save = NULL, *t;
	struct keymap_line l;
	int rc = 0;

	if (strncmp(text, KEYMAP_HEAD, strlen(KEYMAP_HEAD)) != 0)
		return strncmp(text, "zoneseal-keymap ", 16) == 0 ? ZS_EVERSION : ZS_EFORMAT;
	for (t = strtok_r(text + strlen(KEYMAP_HEAD), "\n", &save); t && !rc;
	     t = strtok_r(NULL, "\n", &save)) {
		if (*t == '#')
			continue;
		rc = keymap_line_parse(t, &l);
		if (!rc && keymap_find(m, l.id))
			rc = ZS_EFORMAT; /* two lines for one key: never guess which counts */
		if (!rc)
			rc = keymap_put(m, &l);
	}
	return rc;
}

int keymap_load(const char *path, struct keymap *out)
{
	struct keymap m = { 0 };
	char *text = NULL;
	size_t len = 0;
	int rc = fs_read_checked(path, KEYMAP_FILE_MAX, &text, &len);

	if (rc)
		return rc;
	rc = memchr(text, 0, len) ? ZS_EFORMAT : keymap_parse(text, &m);
	free(text);
	if (rc) {
		keymap_free(&m);
		return rc;
	}
	*out = m;
	return 0;
}

int keymap_save(const char *path, const struct keymap *m)
{
	char line[ZONE_TEXT_MAX + 1024], *text = NULL;
	size_t len = 0;
	int rc = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return ZS_ENOMEM;
	fputs(KEYMAP_HEAD, f);
	for (size_t i = 0; i < m->n && !rc; i++) {
		rc = keymap_line_text(&m->line[i], line, sizeof(line));
		if (!rc)
			fprintf(f, "%s\n", line);
	}
	if (fclose(f) != 0 && !rc)
		rc = ZS_ENOMEM;
	if (!rc)
		rc = fs_replace_checked(path, text, len, 0600);
	free(text);
	return rc;
}
