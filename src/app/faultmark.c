/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The engine's side runs inside a fault handler: it only reads a thread-local number and stores it. The
 * parent trusts the page for nothing but the choice of a zone to leave alone.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/err.h"
#include "dns/name.h"
#include "faultmark.h"

#define PAGE_OCTETS 4096

struct fault_page { volatile uint64_t zone; };

static struct fault_page *engine_page;       /* set once at start, before there are threads */
static _Thread_local uint64_t current_zone;

uint64_t fault_id(const uint8_t *zone)
{
	uint64_t h = 0xcbf29ce484222325u; /* FNV-1a, never 0 */

	for (size_t i = 0, n = name_len(zone); i < n; i++)
		h = (h ^ zone[i]) * 0x100000001b3u;
	return h ? h : 1;
}

static void on_fault(int sig)
{
	if (engine_page)
		engine_page->zone = current_zone;
	signal(sig, SIG_DFL);
	raise(sig);
}

int fault_attach(int fd)
{
	static const int sigs[] = { SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL };
	struct sigaction sa = { .sa_handler = on_fault, .sa_flags = SA_NODEFER | SA_RESETHAND };
	void *p = mmap(NULL, PAGE_OCTETS, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	close(fd);
	if (p == MAP_FAILED)
		return zs_from_errno(errno);
	engine_page = p;
	for (size_t i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++)
		sigaction(sigs[i], &sa, NULL);
	return 0;
}

void fault_zone(const uint8_t *zone)
{
	current_zone = zone ? fault_id(zone) : 0;
}

struct fault_page *fault_page_new(int *fd)
{
	int mem = memfd_create("zoneseal-fault", MFD_CLOEXEC);
	void *p = MAP_FAILED;

	if (mem >= 0 && ftruncate(mem, PAGE_OCTETS) == 0)
		p = mmap(NULL, PAGE_OCTETS, PROT_READ | PROT_WRITE, MAP_SHARED, mem, 0);
	if (p == MAP_FAILED) {
		if (mem >= 0)
			close(mem);
		return NULL;
	}
	*fd = mem;
	return p;
}

static unsigned marks_of(struct fault_log *log, uint64_t zone, mono_t now)
{
	unsigned n = 0;

	for (unsigned i = 0; i < FAULT_MARKS && i < log->n; i++)
		n += log->zone[i] == zone && mono_diff(now, log->at[i]) <= MONO_S(FAULT_WINDOW_S);
	return n;
}

bool fault_collect(struct fault_page *p, struct fault_log *log, mono_t now, uint64_t *zone)
{
	uint64_t id = p ? p->zone : 0;
	unsigned slot = log->n % FAULT_MARKS;

	if (!id)
		return false;
	p->zone = 0;
	log->zone[slot] = id;
	log->at[slot] = now;
	log->n++;
	*zone = id;
	return marks_of(log, id, now) >= 2;
}

void fault_page_free(struct fault_page *p)
{
	if (p)
		munmap(p, PAGE_OCTETS);
}
