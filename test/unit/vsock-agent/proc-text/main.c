// Feeds proc.c with texts from the standard input, each a kind (1 byte), a length (4, big-endian) and that many bytes in a
// buffer of just that size, so that the sanitizer sees one byte too many. Answers each with a line of JSON.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "proc.h"

static void sockets(const char *text, size_t size, bool v6) {
  struct socket_line socket;
  const char *comma = "";
  printf("[");
  for (size_t at = 0; next_socket(text, size, &at, v6, &socket); comma = ",") {
    printf("%s{\"address\":\"", comma);
    for (int i = 0; i < (v6 ? 16 : 4); i++) printf("%02x", socket.address[i]);
    printf("\",\"port\":%u,\"state\":%u,\"localOnly\":%s,\"inode\":%" PRIu64 "}", socket.port, socket.state,
           socket.local_only ? "true" : "false", socket.inode);
  }
  printf("]\n");
}

int main(void) {
  unsigned char head[5];
  while (fread(head, 1, sizeof head, stdin) == sizeof head) {
    size_t size = (size_t)head[1] << 24 | (size_t)head[2] << 16 | (size_t)head[3] << 8 | head[4];
    char *text = malloc(size ? size : 1);
    if (!text || fread(text, 1, size, stdin) != size) return 1;
    struct memory memory;
    struct cpu_ticks cpu;
    uint32_t load[3];
    if (head[0] == '4' || head[0] == '6') {
      sockets(text, size, head[0] == '6');
    } else if (head[0] == 'm' && parse_meminfo(text, size, &memory)) {
      printf("[%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 "]\n", memory.total, memory.available,
             memory.swap_total, memory.swap_free);
    } else if (head[0] == 'l' && parse_loadavg(text, size, load)) {
      printf("[%u,%u,%u]\n", load[0], load[1], load[2]);
    } else if (head[0] == 'c' && parse_cpu(text, size, &cpu)) {
      printf("[%" PRIu64 ",%" PRIu64 ",%u]\n", cpu.busy, cpu.total, cpu.count);
    } else {
      printf("null\n");
    }
    free(text);
  }
  return 0;
}
