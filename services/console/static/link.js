// A mailed link's token is behind "#": no server sees it until the form is sent. It leaves the address at once.
const form = document.querySelector("form[data-link]");
const token = location.hash.slice(1); // base62: nothing in it is ever escaped
if (token) {
  form.elements.token.value = token;
  history.replaceState(null, "", location.pathname);
}
if (!form.elements.token.value.startsWith(form.dataset.link)) {
  document.querySelector("[data-link-missing]").hidden = false;
  form.hidden = true;
}
