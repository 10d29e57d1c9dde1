/* SPDX-License-Identifier: GPL-3.0-or-later */
/* DNS messages: reading with bounds and checks,
 * writing with owner compression (RFC 1035 4.1, RFC 5936 3.4). */
#ifndef ZONESEAL_DNS_MSG_H
#define ZONESEAL_DNS_MSG_H

#include <stdbool.h>
#include "dns/name.h"
#include "dns/rr.h"

#define MSG_MAX 65535
#define MSG_HEADER 12
enum { OP_QUERY = 0, OP_NOTIFY = 4, OP_UPDATE = 5 };
enum {
	RC_NOERROR = 0,
	RC_FORMERR = 1,
	RC_SERVFAIL = 2,
	RC_NXDOMAIN = 3,
	RC_NOTIMP = 4,
	RC_REFUSED = 5,
	RC_NOTAUTH = 9,
	RC_BADVERS = 16,
	RC_BADSIG = 16,
	RC_BADKEY = 17,
	RC_BADTIME = 18,
	RC_BADCOOKIE = 23
};
enum {
	F_QR = 0x8000, F_AA = 0x0400, F_TC = 0x0200, F_RD = 0x0100, F_RA = 0x0080, F_AD = 0x0020,
	F_CD = 0x0010
};
enum { SEC_ANSWER = 1, SEC_AUTHORITY = 2, SEC_ADDITIONAL = 3 };

/* EDNS (RFC 6891) as found or to be written. */
#define EDNS_COOKIE_MAX 40
struct edns {
	bool present, dnssec_ok;
	uint8_t version;
	uint16_t udp_size;
	uint8_t ext_rcode;
	bool expire_asked;            /* EXPIRE option in a query (RFC 7314) */
	bool expire_set; uint32_t expire;
	uint8_t cookie[EDNS_COOKIE_MAX]; uint8_t cookie_len; /* as received / to be sent; 0 none */
	bool cookie_bad;              /* option of a length that RFC 7873 forbids */
	bool nsid_asked;
	int ede; const char *ede_text; /* Extended DNS Error to send (RFC 8914), -1 none */
};

/* Reader over one message without its TCP length. */
struct msgr {
	const uint8_t *wire; size_t len; size_t pos;
	uint16_t id, flags; uint16_t count[4];
	uint8_t opcode; uint8_t rcode;
	/* first question, when count[0] >= 1 */
	uint8_t qname[NAME_MAX_WIRE]; size_t qname_len; uint16_t qtype, qclass;
	uint16_t left; int section;    /* iteration state */
	size_t tsig_pos;               /* offset of a TSIG record when it is the last one, else 0 */
	struct edns edns;
};
/* Header and question; the records are walked once to find OPT and TSIG (TSIG anywhere but last, two OPTs,
 * trailing octets: ZS_EFORMAT). Header fields are filled in even then if there were 12 octets. */
int msgr_open(struct msgr *m, const uint8_t *wire, size_t len);
/* Next record of answer, authority, additional in turn (OPT and TSIG are left out). owner and rdata go to the
 * given buffers (NAME_MAX_WIRE, RDATA_MAX octets); *section says where.
 * 0, ZS_ENOENT at the end, ZS_EFORMAT. */
int msgr_rr(struct msgr *m, struct rr *out, int *section, uint8_t *owner_buf, uint8_t *rdata_buf);

/*
 * Writer. Compresses owners, and names in RDATA of the RFC 1035 types only. A name is compressed against one
 * that stands in the message with the same octets: case is kept. Nothing is allocated; the struct is about
 * 4 KiB.
 */
#define MSGW_SLOTS 1024 /* hash table of names that a pointer may lead to; a power of two */
#define MSGW_NAMES 768  /* most of them: more are not remembered */
struct msgw_slot { uint16_t off, tag; }; /* off 0: free */
struct msgw {
	uint8_t *wire; size_t cap; size_t len;
	size_t reserve;                 /* octets kept free for OPT and TSIG; set after msgw_init() */
	uint16_t last_off, last_len;    /* the owner written last: most records repeat it */
	uint8_t last[NAME_MAX_WIRE];
	uint16_t names;
	struct msgw_slot slot[MSGW_SLOTS];
};
void msgw_init(struct msgw *w, uint8_t *wire, size_t cap, uint16_t id, uint16_t flags_opcode_rcode);
/* 0 or ZS_EFULL with nothing written. Before all records. */
int msgw_question(struct msgw *w, const uint8_t *qname, uint16_t qtype, uint16_t qclass);
/* 0, ZS_EFULL with nothing written, ZS_EINVAL when a later section has records already. */
int msgw_rr(struct msgw *w, int section, const struct rr *rr);
int msgw_opt(struct msgw *w, const struct edns *e); /* uses the reserve; ZS_EFULL; nothing when !present */
void msgw_set_flags(struct msgw *w, uint16_t set, uint16_t clear);
void msgw_set_rcode(struct msgw *w, unsigned rcode); /* low four bits */
static inline uint16_t msg_flags(unsigned opcode, uint16_t flags, unsigned rcode)
{
	return (uint16_t)(opcode << 11 | flags | (rcode & 15));
}

#endif
