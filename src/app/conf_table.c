/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The one table of options. Reading, defaults, the dump, the sample and the manual page come from it: a new
 * option is a field in app/conf.h and a row here. Documentation texts are whole sentences; defaults are
 * spelled as input.
 */
#include "base/log.h"
#include "conf_priv.h"

#define FIELD(s, m) .at = offsetof(struct s, m), .size = sizeof(((struct s *)0)->m)
#define LIST(s, m) .at = offsetof(struct s, m), .count_at = offsetof(struct s, n##m)
#define ITEMS(m, t) LIST(conf, m), .item_size = sizeof(struct t)
#define DAY 86400
#define SERIAL_SAFE (1 << 30) /* seconds: times on the wire stay comparable (RFC 4034 section 3.1.5) */

static const struct conf_word yes_no[] = {
	{ "yes", 1, false }, { "no", 0, false }, { "true", 1, false }, { "false", 0, false }, { 0 },
};
static const struct conf_word auto_number[] = { { "auto", 0, false }, { 0 } };
static const struct conf_word auto_yes_no[] = {
	{ "auto", -1, false }, { "no", 0, false }, { "yes", 1, false }, { 0 }
};
static const struct conf_word levels[] = {
	{ "error", LL_ERR, false }, { "warning", LL_WARN, false }, { "notice", LL_NOTICE, false },
	{ "info", LL_INFO, false }, { "debug", LL_DEBUG, false }, { 0 },
};
static const struct conf_word backends[] = { { "pkcs11", 0, false }, { "file", 1, false }, { 0 } };
static const struct conf_word transports[] = { { "tcp", 0, false }, { "tls", 1, true }, { 0 } };
static const struct conf_word algorithms[] = {
	{ "rsasha256", ALG_RSASHA256, false }, { "rsasha512", ALG_RSASHA512, false },
	{ "ecdsap256sha256", ALG_ECDSAP256, false }, { "ecdsap384sha384", ALG_ECDSAP384, false },
	{ "ed25519", ALG_ED25519, false }, { "ed448", ALG_ED448, false }, { 0 },
};
static const struct conf_word layouts[] = {
	{ "ksk-zsk", KEYS_KSK_ZSK, false }, { "csk", KEYS_CSK, false }, { 0 },
};
static const struct conf_word denials[] = {
	{ "nsec", DENIAL_NSEC, false }, { "nsec3", DENIAL_NSEC3, false }, { 0 },
};
static const struct conf_word serials[] = {
	{ "upstream", SERIAL_UPSTREAM, false }, { "increment", SERIAL_INCREMENT, false },
	{ "unixtime", SERIAL_UNIXTIME, false }, { "date", SERIAL_DATE, false }, { 0 },
};
static const struct conf_word updnssec[] = {
	{ "refuse", UPDNSSEC_REFUSE, false },
	{ "strip", UPDNSSEC_STRIP, false },
	{ "pass", UPDNSSEC_PASS, false },
	{ 0 },
};
static const struct conf_word soa_expires[] = { { "keep", 0, false }, { "clamp", 1, false }, { 0 } };
/* The words stand for themselves: conf_tsig.algorithm points to text. */
static const struct conf_word hmacs[] = {
	{ "hmac-sha1", 0, false }, { "hmac-sha224", 0, false }, { "hmac-sha256", 0, false },
	{ "hmac-sha384", 0, false }, { "hmac-sha512", 0, false }, { 0 },
};

static const struct conf_opt tcp_opts[] = {
	{ "connections", CT_UINT, FIELD(conf, tcp_connections), .def = "1024", .min = 1, .max = 65535,
	  .doc = "TCP connections that are open at a time." },
	{ "per-peer", CT_UINT, FIELD(conf, tcp_per_peer), .def = "64", .min = 1, .max = 65535,
	  .doc = "TCP connections of one peer address." },
	{ "idle", CT_DURATION, FIELD(conf, tcp_idle), .def = "10s", .min = 1, .max = 3600,
	  .doc = "A connection without a query for so long is closed." },
	{ 0 },
};

static const struct conf_opt snapshot_opts[] = {
	{ "age", CT_DURATION, FIELD(conf, snapshot_age), .def = "10m", .min = 1, .max = DAY,
	  .doc = "A transfer of a version that is no longer published is cut after this long: its "
		 "snapshot keeps the file from being reused." },
	{ "growth", CT_SIZE, FIELD(conf, snapshot_growth), .def = "1G", .min = 1 << 20, .max = INT64_MAX,
	  .doc = "Transfers and exports of versions that keep more of the store than this from being "
		 "reused, or more than the zone itself takes there (8M are always allowed), are cut, but "
		 "for the published one. Files of replaced versions count from the second on." },
	{ 0 },
};

static const struct conf_opt server_opts[] = {
	{ "listen", CT_ADDRS, LIST(conf, listen), .min = 53, .def = "127.0.0.1@53, ::1@53",
	  .doc = "Addresses and ports to answer on, UDP and TCP. The port defaults to 53. A wildcard "
		 "address answers from the address that was asked." },
	{ "state-dir", CT_STRING, FIELD(conf, state_dir), .flags = OF_PATH, .def = "/var/lib/zoneseal",
	  .doc = "Where zones, keys and state are kept. One daemon per directory; network file systems "
		 "are refused." },
	{ "control", CT_STRING, FIELD(conf, control), .flags = OF_PATH, .def = "/run/zoneseal/control.sock",
	  .doc = "The socket that zonesealctl talks to." },
	{ "control-group", CT_STRING, FIELD(conf, control_group), .flags = OF_USER, .def = "zoneseal",
	  .doc = "The group that may use the control socket." },
	{ "user", CT_STRING, FIELD(conf, user), .flags = OF_USER, .def = "zoneseal",
	  .doc = "The user of the engine process." },
	{ "vault-user", CT_STRING, FIELD(conf, vault_user), .flags = OF_USER, .def = "zoneseal-vault",
	  .doc = "The user of the vault processes, which alone see keys and PINs." },
	{ "workers", CT_UINT, FIELD(conf, workers), .words = auto_number, .def = "auto", .min = 1,
	  .max = 1024, .doc = "Worker threads. auto: one per processor." },
	{ "transfers-in", CT_UINT, FIELD(conf, transfers_in), .def = "32", .min = 1, .max = 10000,
	  .doc = "Incoming transfers at a time." },
	{ "transfers-per-primary", CT_UINT, FIELD(conf, transfers_per_primary), .def = "8", .min = 1,
	  .max = 10000, .doc = "Incoming transfers from one primary at a time." },
	{ "transfers-out", CT_UINT, FIELD(conf, transfers_out), .def = "256", .min = 1, .max = 100000,
	  .doc = "Outgoing transfers at a time." },
	{ "tcp", CT_MAP, .sub = tcp_opts, .doc = "Bounds on incoming TCP." },
	{ "query", CT_REFS, LIST(conf, query), .sample = "[]",
	  .doc = "Who else may query a zone's apex, besides those who may transfer it: names of acls and "
		 "remotes. Empty: the zone's upstream and loopback." },
	{ "snapshot", CT_MAP, .sub = snapshot_opts,
	  .doc = "When a transfer that reads an old version is cut loose." },
	{ "min-free", CT_SIZE, FIELD(conf, min_free), .def = "1G", .min = 0, .max = INT64_MAX,
	  .doc = "Disk space kept free for the refresh of signatures: below it zone-sized work and "
		 "history stop." },
	{ 0 },
};

static const struct conf_opt stats_opts[] = {
	{ "listen", CT_ADDRS, LIST(conf, stats_listen), .min = 9353, .def = "127.0.0.1@9353",
	  .doc = "Addresses and ports of the HTTP server for statistics and health. The port defaults to "
		 "9353; an empty list turns it off." },
	{ "per-zone", CT_ENUM, FIELD(conf, stats_per_zone), .words = auto_yes_no, .def = "auto",
	  .doc = "Whether metrics are given for each zone. auto: while there are not too many zones." },
	{ 0 },
};

static const struct conf_opt log_opts[] = {
	{ "target", CT_STRING, FIELD(conf, log_target), .flags = OF_TARGET, .def = "stderr",
	  .doc = "stderr, syslog or the absolute path of a file." },
	{ "level", CT_ENUM, FIELD(conf, log_level), .words = levels, .def = "info",
	  .doc = "The least that is logged." },
	{ 0 },
};

static const struct conf_opt tsig_opts[] = {
	{ "name", CT_KEYNAME, FIELD(conf_tsig, name), .flags = OF_REQUIRED, .sample = "xfr.example.",
	  .doc = "The name of the key, as both sides have it." },
	{ "algorithm", CT_STRING, FIELD(conf_tsig, algorithm), .words = hmacs, .def = "hmac-sha256",
	  .doc = "The algorithm of the key." },
	{ "secret-file", CT_STRING, FIELD(conf_tsig, secret_file), .flags = OF_REQUIRED | OF_PATH,
	  .sample = "/etc/zoneseal/xfr.key",
	  .doc = "The file of the secret: base64 text, or a BIND key clause that agrees in name and "
		 "algorithm. Refused when group or others can read it." },
	{ 0 },
};

static const struct conf_opt keystore_opts[] = {
	{ "name", CT_STRING, FIELD(conf_keystore, name), .flags = OF_REQUIRED | OF_IDENT, .sample = "hsm",
	  .doc = "The name of the key store." },
	{ "backend", CT_ENUM, FIELD(conf_keystore, file), .words = backends, .flags = OF_REQUIRED,
	  .sample = "pkcs11",
	  .doc = "Where the keys are: behind a PKCS#11 module, or, only for the key store named file, in "
		 "files under the state directory." },
	{ "module", CT_STRING, FIELD(conf_keystore, module), .flags = OF_PATH,
	  .sample = "/usr/lib/softhsm/libsofthsm2.so", .doc = "The PKCS#11 module to load." },
	{ "uri", CT_STRING, FIELD(conf_keystore, uri), .sample = "\"pkcs11:token=zoneseal\"",
	  .doc = "The token, as a PKCS#11 URI (RFC 7512) without a PIN." },
	{ "pin-file", CT_STRING, FIELD(conf_keystore, pin_file), .flags = OF_PATH,
	  .sample = "/etc/zoneseal/hsm.pin",
	  .doc = "The file of the PIN. Refused when group or others can read it. Without it no login is "
		 "made." },
	{ "sessions", CT_UINT, FIELD(conf_keystore, sessions), .def = "16", .min = 1, .max = 1024,
	  .doc = "Sessions, which is how many operations run at a time. For files the processors decide." },
	{ "environment", CT_ENV, .at = offsetof(struct conf_keystore, env),
	  .count_at = offsetof(struct conf_keystore, nenv),
	  .sample = "{SOFTHSM2_CONF: /etc/softhsm/softhsm2.conf}",
	  .doc = "Environment variables that the module wants." },
	{ 0 },
};

static const struct conf_opt nsec3_opts[] = {
	{ "opt-out", CT_ENUM, FIELD(policy, opt_out), .words = yes_no, .def = "no",
	  .doc = "Whether delegations without DS stay out of the chain (RFC 5155 section 6)." },
	{ "iterations", CT_UINT, FIELD(policy, nsec3_iterations), .def = "0", .min = 0,
	  .max = NSEC3_ITERATIONS_MAX, .doc = "Extra hash iterations. Leave it at 0 (RFC 9276)." },
	{ "salt-length", CT_UINT, FIELD(policy, nsec3_salt_length), .def = "0", .min = 0,
	  .max = NSEC3_SALT_MAX, .doc = "Octets of salt. Leave it at 0 (RFC 9276)." },
	{ 0 },
};

static const struct conf_opt signatures_opts[] = {
	{ "validity", CT_DURATION, FIELD(policy, validity), .def = "14d", .min = 10, .max = SERIAL_SAFE,
	  .doc = "How long a signature is valid." },
	{ "refresh", CT_DURATION, FIELD(policy, refresh), .def = "5d", .min = 1, .max = SERIAL_SAFE,
	  .doc = "A signature that is valid for less than this is replaced." },
	{ "jitter", CT_DURATION, FIELD(policy, jitter), .def = "12h", .min = 0, .max = SERIAL_SAFE,
	  .doc = "Validity is shortened at random by up to this. refresh and jitter together are at most "
		 "half of validity and of dnskey-validity." },
	{ "inception-offset", CT_DURATION, FIELD(policy, inception_offset), .def = "1h", .min = 0,
	  .max = 30 * DAY, .doc = "How far signatures are dated back, for validators whose clock is slow." },
	{ "dnskey-validity", CT_DURATION, FIELD(policy, dnskey_validity), .def = "14d", .min = 10,
	  .max = SERIAL_SAFE, .doc = "How long a signature of the key set is valid." },
	{ 0 },
};

const struct conf_opt conf_verify_table[] = {
	{ "one-in", CT_UINT, FIELD(policy, verify_one_in), .flags = OF_REQUIRED, .min = 2, .max = 1000,
	  .doc = "One signature in so many is verified." },
	{ 0 },
};

static const struct conf_opt policy_opts[] = {
	{ "name", CT_STRING, FIELD(policy, name), .flags = OF_REQUIRED | OF_IDENT, .sample = "hsm-nsec3",
	  .doc = "The name of the policy. The policy default always exists and may be changed; none "
		 "(served unsigned) always exists and may not." },
	{ "keystore", CT_STOREREF, FIELD(policy, keystore), .def = "file", .sample = "hsm",
	  .doc = "The key store of the keys." },
	{ "algorithm", CT_ENUM, FIELD(policy, algorithm), .words = algorithms, .def = "ecdsap256sha256",
	  .doc = "The algorithm of the keys." },
	{ "rsa-bits", CT_UINT, FIELD(policy, rsa_bits), .def = "2048", .min = 2048, .max = 4096,
	  .doc = "The size of RSA keys." },
	{ "keys", CT_ENUM, FIELD(policy, keys), .words = layouts, .def = "ksk-zsk",
	  .doc = "A key-signing and a zone-signing key, or one combined key." },
	{ "denial", CT_ENUM, FIELD(policy, denial), .words = denials, .def = "nsec", .sample = "nsec3",
	  .doc = "How the absence of names is proved." },
	{ "nsec3", CT_MAP, .sub = nsec3_opts, .doc = "Parameters of NSEC3." },
	{ "signatures", CT_MAP, .sub = signatures_opts, .doc = "Times of signatures." },
	{ "dnskey-ttl", CT_DURATION, FIELD(policy, dnskey_ttl), .def = "1h", .min = 1, .max = 28 * DAY,
	  .doc = "The TTL of DNSKEY, CDS and CDNSKEY." },
	{ "serial", CT_ENUM, FIELD(policy, serial), .words = serials, .def = "upstream",
	  .doc = "The serial of a signed version: upstream's, the last one plus one, the time in "
		 "seconds, or the date with two digits. It never goes back." },
	{ "verify", CT_VERIFY, FIELD(policy, verify_one_in), .def = "all",
	  .doc = "Which signatures are verified before a version is published." },
	{ 0 },
};

static const struct conf_opt remote_opts[] = {
	{ "name", CT_STRING, FIELD(conf_remote, name), .flags = OF_REQUIRED | OF_IDENT,
	  .sample = "legacy-primary", .doc = "The name. Remotes and acls share one name space." },
	{ "address", CT_ADDRS, LIST(conf_remote, addr), .min = 53, .flags = OF_REQUIRED | OF_REMOTE,
	  .sample = "[192.0.2.1@53]",
	  .doc = "Where queries, transfers and NOTIFY go, tried in order. The port defaults to 53." },
	{ "source", CT_SOURCES, FIELD(conf_remote, source), .flags = OF_REMOTE, .sample = "[192.0.2.10]",
	  .doc = "Own addresses to send from, at most one of each family." },
	{ "tsig", CT_TSIGREF, FIELD(conf_remote, tsig), .sample = "xfr.example.",
	  .doc = "The key used on what is sent and required on what comes." },
	{ "transport", CT_ENUM, .words = transports, .sample = "tcp",
	  .doc = "How transfers are made: tcp, the default. tls is reserved." },
	{ "watch", CT_ENUM, FIELD(conf_remote, watch), .words = yes_no, .def = "yes",
	  .doc = "Whether a secondary is asked for its serial." },
	{ 0 },
};

static const struct conf_opt acl_opts[] = {
	{ "name", CT_STRING, FIELD(conf_remote, name), .flags = OF_REQUIRED | OF_IDENT, .sample = "public",
	  .doc = "The name. Remotes and acls share one name space." },
	{ "prefix", CT_PREFIXES, LIST(conf_remote, addr), .sample = "[198.51.100.0/24]",
	  .doc = "Addresses that match; without it every address does." },
	{ "tsig", CT_TSIGREF, FIELD(conf_remote, tsig), .sample = "xfr.example.",
	  .doc = "The key that must have signed. All that is given must match; the first acl of a list "
		 "that matches decides." },
	{ "deny", CT_ENUM, FIELD(conf_remote, deny), .words = yes_no, .def = "no",
	  .doc = "Whether what matches is refused instead of allowed." },
	{ "transport", CT_ENUM, .flags = OF_RESERVED, .doc = "Reserved." },
	{ 0 },
};

static const struct conf_opt guard_opts[] = {
	{ "shrink", CT_PERCENT, FIELD(conf_zone, shrink_pct), .def = "10%", .min = 0, .max = 100,
	  .doc = "Input that loses more of its records (and more than 50) is held." },
	{ "churn", CT_PERCENT, FIELD(conf_zone, churn_pct), .def = "30%", .min = 0, .max = 100,
	  .doc = "Input that changes more of its delegations is held." },
	{ 0 },
};

static const struct conf_opt limits_opts[] = {
	{ "records", CT_UINT, FIELD(conf_zone, max_records), .def = "100000000", .min = 2, .max = INT64_MAX,
	  .doc = "Records of the zone; a transfer that brings more is discarded." },
	{ "bytes", CT_SIZE, FIELD(conf_zone, max_bytes), .def = "64G", .min = 1 << 10, .max = INT64_MAX,
	  .doc = "Octets of a transfer; a larger one is discarded." },
	{ "rrset", CT_SIZE, FIELD(conf_zone, max_rrset), .def = "1M", .min = 1 << 10, .max = 1 << 20,
	  .doc = "Octets of one RRset; input with a larger one is held. At most 1M." },
	{ 0 },
};

static const struct conf_opt history_opts[] = {
	{ "versions", CT_UINT, FIELD(conf_zone, history_versions), .def = "1000", .min = 0, .max = 1000000,
	  .doc = "Versions kept for IXFR and rollback." },
	{ "bytes", CT_SIZE, FIELD(conf_zone, history_bytes), .def = "256M", .min = 0, .max = INT64_MAX,
	  .doc = "Octets kept for them." },
	{ "age", CT_DURATION, FIELD(conf_zone, history_age), .def = "30d", .min = 0, .max = 3650 * DAY,
	  .doc = "How long they are kept." },
	{ 0 },
};

static const struct conf_opt zone_opts[] = {
	{ "name", CT_ZONENAME, FIELD(conf_zone, name), .flags = OF_REQUIRED, .sample = "example.com",
	  .doc = "The name of the zone, with or without the final dot; odd octets as \\DDD. In a "
		 "template: its name." },
	{ "template", CT_TEMPLATE, .sample = "hosted",
	  .doc = "The template of the zone. What the zone says itself replaces it; of a mapping, key by "
		 "key." },
	{ "upstream", CT_REFS, LIST(conf_zone, upstream), .flags = OF_REMOTE, .sample = "[legacy-primary]",
	  .doc = "The remotes the zone comes from, tried in order. Every zone needs one." },
	{ "notify-from", CT_REFS, LIST(conf_zone, notify_from), .sample = "[]",
	  .doc = "Whose NOTIFY is taken: acls or remotes. Empty: upstream." },
	{ "downstream", CT_REFS, LIST(conf_zone, downstream), .flags = OF_REMOTE, .sample = "[public-1]",
	  .doc = "Secondaries: they get NOTIFY, may transfer and are asked for their serial." },
	{ "transfer", CT_REFS, LIST(conf_zone, transfer), .sample = "[public]",
	  .doc = "Who else may transfer the zone: acls or remotes." },
	{ "policy", CT_POLICYREF, FIELD(conf_zone, policy), .def = "default", .sample = "hsm-nsec3",
	  .doc = "The policy of the zone." },
	{ "upstream-dnssec", CT_ENUM, FIELD(conf_zone, upstream_dnssec), .words = updnssec, .def = "refuse",
	  .doc = "What is done with a zone that comes signed: refuse holds it, strip takes the "
		 "signatures off, pass serves it as it came (with policy none only)." },
	{ "upstream-expire", CT_EXPIRE, .at = 0, .def = "serve:30d", .min = 1, .max = 3650LL * DAY,
	  .doc = "What is done when upstream was out of reach for the time in SOA expire: serve on and "
		 "re-sign, serve for so long and then stop, or stop. Upstream is asked every SOA refresh, "
		 "or twice in SOA expire where that is more often." },
	{ "soa-expire", CT_ENUM, FIELD(conf_zone, soa_expire_clamp), .words = soa_expires, .def = "keep",
	  .doc = "Whether SOA expire is served as it came or lowered to what the signatures allow." },
	{ "guard", CT_MAP, .sub = guard_opts, .doc = "How much may vanish or change in one step." },
	{ "limits", CT_MAP, .sub = limits_opts, .doc = "How large the zone may be." },
	{ "history", CT_MAP, .sub = history_opts,
	  .doc = "How much of the past is kept. Whichever bound comes first counts." },
	{ 0 },
};

const struct conf_opt conf_table[CONF_SECTIONS + 1] = {
	{ "version", CT_VERSION, .flags = OF_REQUIRED, .sample = "1",
	  .doc = "The version of this format: 1." },
	{ "include", CT_INCLUDE, .sample = "[conf.d/*.yaml]",
	  .doc = "Files to read as well: patterns, relative to this file. Their lists are added to those "
		 "here; a mapping may stand in one file only." },
	{ "server", CT_MAP, .sub = server_opts, .doc = "The daemon as a whole." },
	{ "stats", CT_MAP, .sub = stats_opts, .doc = "Statistics and health." },
	{ "log", CT_MAP, .sub = log_opts, .doc = "Logging." },
	{ "tsig", CT_ITEMS, ITEMS(tsig, conf_tsig), .sub = tsig_opts, .doc = "TSIG keys (RFC 8945)." },
	{ "keystores", CT_ITEMS, ITEMS(keystores, conf_keystore), .sub = keystore_opts,
	  .doc = "Where private keys live. One named file always exists." },
	{ "policies", CT_ITEMS, ITEMS(policies, policy), .sub = policy_opts,
	  .doc = "How zones are signed. One named default always exists, with the defaults given here." },
	{ "remotes", CT_ITEMS, ITEMS(remotes, conf_remote), .sub = remote_opts,
	  .sample = "{name: public-1, address: [198.51.100.53@53], tsig: xfr.example.}",
	  .doc = "Primaries and secondaries." },
	{ "acls", CT_ITEMS, ITEMS(remotes, conf_remote), .sub = acl_opts, .doc = "Who may ask." },
	{ "templates", CT_ITEMS, .item_size = sizeof(struct conf_zone), .sub = zone_opts,
	  .doc = "What many zones have in common. A template takes the options of a zone." },
	{ "zones", CT_ITEMS, ITEMS(zones, conf_zone), .sub = zone_opts, .doc = "The zones." },
	{ 0 },
};
