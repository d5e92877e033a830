#include <string.h>
#include <tenon.h>

int main(void)
{
    return strcmp(tenon_version(), TENON_VERSION_STRING) != 0;
}
