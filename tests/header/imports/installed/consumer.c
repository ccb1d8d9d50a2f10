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
  printf("%s %s %d %d %d %d %s\n", blazen_version(), (const char*)blazen_value_data(value, NULL),
         BLAZEN_FOREVER, BLAZEN_NAME_BYTES_MAX, BLAZEN_STEP_TIMEOUT_MS_MAX, BLAZEN_UNTIL_ASKING,
         blazen_event_name(BLAZEN_EVENT_STOP, NULL));
  blazen_value_release(value);
  return 0;
}
