#include "plain.h"

void plain(char *text) {
  for (; *text; text++)
    if (*text < 0x20 || *text > 0x7e || *text == '"' || *text == '\\') *text = '?';
}
