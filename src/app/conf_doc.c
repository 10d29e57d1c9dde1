/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The sample configuration and the options part of the manual page, both from the option table. In the sample
 * a "#" directly before a word makes an option of it when taken away; "# " is prose.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include "conf_priv.h"

#define DOC_MAX (1u << 20)
#define DOC_COLUMNS 100

/* Text filled to the width, each line led by indent and "# ". */
static void prose(struct wr *w, const char *indent, const char *text)
{
	size_t column = 0;

	while (*text) {
		size_t word = strcspn(text, " ");

		if (!column || column + 1 + word > DOC_COLUMNS) {
			wr_printf(w, "%s%s# ", column ? "\n" : "", indent);
			column = strlen(indent) + 2;
		} else {
			wr_u8(w, ' ');
			column++;
		}
		wr_bytes(w, text, word);
		column += word;
		text += word;
		text += strspn(text, " ");
	}
	wr_u8(w, '\n');
}

/* A default as it would be written in a file. */
static void put_default(struct wr *w, const struct conf_opt *o)
{
	const char *sep = "[";

	if (o->type != CT_ADDRS) {
		conf_print_scalar(w, o->def);
		return;
	}
	for (const char *p = o->def; *p;) {
		size_t len = strcspn(p, ",");
		bool quote = *p == ':';

		wr_printf(w, "%s%s%.*s%s", sep, quote ? "\"" : "", (int)len, p, quote ? "\"" : "");
		sep = ", ";
		p += len;
		p += strspn(p, ", ");
	}
	wr_u8(w, ']');
}

static void put_value(struct wr *w, const struct conf_opt *o)
{
	if (o->type == CT_MAP) {
		const char *sep = "{";

		for (const struct conf_opt *s = o->sub; s->name; s++) {
			wr_printf(w, "%s%s: ", sep, s->name);
			put_value(w, s);
			sep = ", ";
		}
		wr_u8(w, '}');
	} else if (o->sample) {
		wr_printf(w, "%s", o->sample);
	} else if (o->def) {
		put_default(w, o);
	}
}

static void sample_options(struct wr *w, const struct conf_opt *table)
{
	for (const struct conf_opt *o = table; o->name; o++) {
		if (o->flags & OF_RESERVED)
			continue;
		prose(w, "  ", o->doc);
		wr_printf(w, "  #%s: ", o->name);
		put_value(w, o);
		wr_u8(w, '\n');
	}
}

static void sample_items(struct wr *w, const struct conf_opt *section)
{
	bool first = true;

	wr_printf(w, "#%s:\n", section->name);
	for (const struct conf_opt *o = section->sub; o->name; o++) {
		bool template = !strcmp(section->name, "templates");

		if (o->flags & OF_RESERVED || (template && o->type == CT_TEMPLATE))
			continue;
		if (!template)
			prose(w, first ? "  " : "    ", o->doc);
		wr_printf(w, "%s%s: ", first ? "  #- " : "    #", o->name);
		if (template && first)
			wr_printf(w, "hosted");
		else
			put_value(w, o);
		wr_u8(w, '\n');
		first = false;
	}
	if (section->sample)
		wr_printf(w, "  #- %s\n", section->sample);
}

char *conf_sample(void)
{
	struct wr w = wr_growing(DOC_MAX);

	prose(&w, "",
	      "Configuration of zoneseal; see zoneseal.yaml(5). Options behind a # show their defaults, or "
	      "an "
	      "example in a list; take the # away to set them.");
	for (const struct conf_opt *o = conf_table; o->name; o++) {
		wr_u8(&w, '\n');
		prose(&w, "", o->doc);
		if (o->type == CT_ITEMS) {
			sample_items(&w, o);
		} else if (o->type == CT_MAP) {
			wr_printf(&w, "%s:\n", o->name);
			sample_options(&w, o->sub);
		} else {
			wr_printf(&w, "%s: %s\n", o->name, o->sample);
		}
	}
	wr_u8(&w, 0);
	if (w.err)
		wr_free(&w);
	return (char *)w.p;
}

/* --- the manual page --- */

/* Prose as mdoc text: backslashes escaped, a sentence a line, no line that looks like a macro. */
static void mdoc_text(struct wr *w, const char *text)
{
	bool start = true;

	for (; *text; text++) {
		if (start && (*text == '.' || *text == '\''))
			wr_printf(w, "\\&");
		start = false;
		if (*text == '\\') {
			wr_printf(w, "\\e");
		} else if (*text == ' ' && (text[-1] == '.' || text[-1] == '?') &&
			   isupper((uint8_t)text[1])) {
			wr_u8(w, '\n');
			start = true;
		} else {
			wr_u8(w, (uint8_t)*text);
		}
	}
	wr_u8(w, '\n');
}

static void man_words(struct wr *w, const struct conf_opt *o)
{
	const char *sep = "One of ";

	for (const struct conf_word *word = o->words; word->word; word++) {
		if (word->reserved || !strcmp(word->word, "true") || !strcmp(word->word, "false"))
			continue;
		wr_printf(w, "%s%s", sep, word->word);
		sep = ", ";
	}
	wr_printf(w, ".\n");
}

static void man_number(struct wr *w, const struct conf_opt *o, int64_t v)
{
	if (o->type == CT_DURATION)
		conf_print_duration(w, v);
	else if (o->type == CT_SIZE)
		conf_print_size(w, (uint64_t)v);
	else
		wr_printf(w, "%lld", (long long)v);
}

static void man_bounds(struct wr *w, const struct conf_opt *o)
{
	wr_printf(w, "At least ");
	man_number(w, o, o->min);
	if (o->max != INT64_MAX) {
		wr_printf(w, ", at most ");
		man_number(w, o, o->max);
	}
	wr_printf(w, ".\n");
}

static void man_option(struct wr *w, const struct conf_opt *o)
{
	wr_printf(w, ".It Cm %s\n", o->name);
	mdoc_text(w, o->doc);
	if (o->words && o->type != CT_UINT)
		man_words(w, o);
	else if (o->type != CT_ENUM && o->type != CT_STRING && o->type != CT_MAP)
		wr_printf(w, "Takes %s.\n", conf_types[o->type].expects);
	if (o->type == CT_UINT || o->type == CT_SIZE || o->type == CT_DURATION)
		man_bounds(w, o);
	if (o->flags & OF_REQUIRED)
		wr_printf(w, "Required.\n");
	if (o->def) {
		wr_printf(w, "Default: ");
		put_default(w, o);
		wr_printf(w, ".\n");
	}
}

static void man_options(struct wr *w, const struct conf_opt *table)
{
	wr_printf(w, ".Bl -tag -width Ds\n");
	for (const struct conf_opt *o = table; o->name; o++) {
		man_option(w, o);
		if (o->type == CT_MAP && !(o->flags & OF_RESERVED))
			man_options(w, o->sub);
	}
	wr_printf(w, ".El\n");
}

char *conf_man_options(void)
{
	struct wr w = wr_growing(DOC_MAX);

	for (const struct conf_opt *o = conf_table; o->name; o++) {
		wr_printf(&w, ".Ss %s\n", o->name);
		mdoc_text(&w, o->doc);
		if (o->flags & OF_REQUIRED)
			wr_printf(&w, "Required.\n");
		if (o->sub && strcmp(o->name, "templates"))
			man_options(&w, o->sub);
	}
	wr_u8(&w, 0);
	if (w.err)
		wr_free(&w);
	return (char *)w.p;
}
