/**
 * The protocol's constants on one page.
 *
 * @see WireGuard paper §5.4 (messages), §6 (timers), §6.1 (limits); Linux `drivers/net/wireguard/messages.h` for
 * the values the paper leaves to the implementation.
 */

// Noise and labels, §5.4.

/** Name of the Noise protocol; its hash is the first chaining key. */
export const CONSTRUCTION = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
/** Mixed into the first hash. */
export const IDENTIFIER = "WireGuard v1 zx2c4 Jason@zx2c4.com";
/** Prefix of the hash that keys MAC1. */
export const LABEL_MAC1 = "mac1----";
/** Prefix of the hash that keys the encryption of cookies. */
export const LABEL_COOKIE = "cookie--";

// Sizes in bytes.

/** X25519 public or private key, AEAD key, BLAKE2s hash, preshared key. */
export const KEY_BYTES = 32;
/** Poly1305 tag. */
export const TAG_BYTES = 16;
/** MAC1, MAC2 and a decrypted cookie. */
export const MAC_BYTES = 16;
/** Nonce of XChaCha20-Poly1305, in a cookie reply. */
export const COOKIE_NONCE_BYTES = 24;
/** TAI64N label. */
export const TIMESTAMP_BYTES = 12;
/** Handshake initiation. */
export const INITIATION_BYTES = 148;
/** Handshake response. */
export const RESPONSE_BYTES = 92;
/** Cookie reply. */
export const COOKIE_REPLY_BYTES = 64;
/** Header of a transport data message: type, receiver index, counter. */
export const TRANSPORT_HEADER_BYTES = 16;
/** What a transport data message adds to a packet; also the size of a keepalive. */
export const TRANSPORT_OVERHEAD_BYTES = TRANSPORT_HEADER_BYTES + TAG_BYTES;
/** Plaintext is padded to a multiple of this, §5.4.6. */
export const PADDING_BYTES = 16;

// Message types, §5.4.

/** First message of a handshake. */
export const MESSAGE_INITIATION = 1;
/** Second message of a handshake. */
export const MESSAGE_RESPONSE = 2;
/** Reply of a responder under load. */
export const MESSAGE_COOKIE_REPLY = 3;
/** Encrypted packet or keepalive. */
export const MESSAGE_TRANSPORT = 4;

// Limits of a keypair, §6.1.

/** Messages sent under one key after which a new handshake is started. */
export const REKEY_AFTER_MESSAGES = 2n ** 60n;
/** Counter from which on nothing is sent or accepted under a key. */
export const REJECT_AFTER_MESSAGES = 2n ** 64n - 2n ** 13n - 1n;
/** Age after which the initiator of a keypair starts a new handshake when it sends. */
export const REKEY_AFTER_TIME_MS = 120_000;
/** Age from which on a keypair is not used any more. */
export const REJECT_AFTER_TIME_MS = 180_000;
/** How long a handshake is retried without an answer. */
export const REKEY_ATTEMPT_TIME_MS = 90_000;
/** Least time between two handshake initiations to a peer. */
export const REKEY_TIMEOUT_MS = 5_000;
/** Upper bound of the random time added to {@linkcode REKEY_TIMEOUT_MS}, so that two peers do not keep in step. */
export const REKEY_JITTER_MAX_MS = 333;
/** A peer that has received and not sent for this long sends a keepalive. */
export const KEEPALIVE_TIMEOUT_MS = 10_000;
/** Silence after which all keys and handshakes of a peer are zeroed, §6.3. */
export const ZERO_KEYS_AFTER_MS = 3 * REJECT_AFTER_TIME_MS;

// Denial of service, §5.3, §6.6.

/** Age at which the responder's cookie secret is replaced; also how long a cookie may be used. */
export const COOKIE_LIFETIME_MS = 120_000;
/** A cookie is given up this long before it expires, since it may expire on its way. */
export const COOKIE_LATENCY_MS = 5_000;
/** Handshake messages per second let through from one /32 or /64. */
export const HANDSHAKES_PER_SECOND = 20;
/** Handshake messages let through at once from a source not seen for a while. */
export const HANDSHAKES_BURST = 5;
/** Least time between two initiations accepted from one peer. */
export const INITIATION_INTERVAL_MS = 20;
/** How long a device stays under load after the last sign of it. */
export const UNDER_LOAD_MS = 1_000;

// Bounds of our own memory.

/** Packets of one peer that wait for a handshake; the oldest goes first. */
export const MAX_STAGED_PACKETS = 128;
/** Bytes of the same. */
export const MAX_STAGED_BYTES = 1 << 20;
/** Bytes of all peers of a device together; the oldest goes first, whoever's it is. */
export const MAX_DEVICE_STAGED_BYTES = 16 << 20;
/** Counters behind the greatest one seen that are still told apart. */
export const REPLAY_WINDOW_PACKETS = 8192;
