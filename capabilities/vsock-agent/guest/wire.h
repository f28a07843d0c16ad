// Constants of the wire contract; PROTOCOL.md, one folder up, is the text that they follow.
#pragma once

enum {
  PROTOCOL_VERSION = 1,
  VSOCK_PORT = 1024,
  ANNOUNCE_PORT = 1025, // of the host
  ID_SIZE = 8,
  HEADER_SIZE = ID_SIZE + 1,
  BODY_MAX = 32768,
  PAYLOAD_MAX = HEADER_SIZE + BODY_MAX,
  // COBS adds one byte to each begun run of 254.
  ENCODED_MAX = PAYLOAD_MAX + PAYLOAD_MAX / 254 + 1,
  STDIN_WINDOW = 262144,
  ERROR_MAX = 1024,
};

enum frame_type {
  FRAME_OPEN = 0x01,
  FRAME_STDIN = 0x02,
  FRAME_STDIN_EOF = 0x03,
  FRAME_SIGNAL = 0x04,
  FRAME_RESIZE = 0x05,
  FRAME_CLOSE = 0x06,
  FRAME_STDOUT = 0x11,
  FRAME_STDERR = 0x12,
  FRAME_EXIT = 0x13,
  FRAME_ERROR = 0x14,
  FRAME_REPLY = 0x15,
  FRAME_ACK = 0x16,
  FRAME_CLOSED = 0x17,
  FRAME_OPENED = 0x18,
  FRAME_RESTARTED = 0x19,
};

enum exit_kind { EXIT_CODE = 0, EXIT_SIGNAL = 1 };
