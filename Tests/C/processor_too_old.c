/* For processors without x86-64-v2: every call fails with a status and a message, and nothing is executed that they lack. */
#include <stdio.h>
#include <string.h>

#include <tenon.h>

int main(void) {
    tenon_module *module = NULL;
    const char *text = "fn @main(%x: f32[2]) -> f32[2] { return %x }";
    tenon_status status = tenon_module_parse(text, strlen(text), &module);
    const char *message = tenon_last_error_message();
    if (status != TENON_ERROR_UNSUPPORTED || module != NULL || message == NULL || strstr(message, "processor") == NULL) {
        printf("status %d, message %s\n", (int)status, message ? message : "none");
        return 1;
    }
    return 0;
}
