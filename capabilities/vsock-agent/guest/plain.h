#pragma once

// The text is the image's or a process's to choose: everything but plain ASCII that JSON takes as it is
// becomes `?`.
void plain(char *text);
