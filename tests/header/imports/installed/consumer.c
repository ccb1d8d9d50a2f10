/* Uses an installed blazen: makes a JSON value and prints it. */
#include <blazen/blazen.h>
#include <stdio.h>

int main(void) {
  blazen_value* value = NULL;
  blazen_error* error = NULL;
  if (blazen_value_json(BLAZEN_TEXT("{\"hello\":\"c\"}"), &value, &error) != BLAZEN_OK) {
    printf("%s\n", blazen_error_message(error, NULL));
    blazen_error_release(error);
    return 1;
  }
  printf("%s %s\n", blazen_version(), (const char*)blazen_value_data(value, NULL));
  blazen_value_release(value);
  return 0;
}
