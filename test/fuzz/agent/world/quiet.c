// What is malformed is warned of: a line for each input would be all that the log has. The linker puts it in
// the place of log.h's `warn`.
void __wrap_warn(const char *format, ...);
void __wrap_warn(const char *format, ...) { (void)format; }
