// Runs the explorers on a page that has no kernel, from a web server or from a file.
//
// Each <div class="explorer" data-script="tree" data-state="{...}"> holds a picture.
// When it comes into view, the scripts of course/explorers are loaded and draw in its
// place. Pages opened from a file may not fetch anything and may import no module, so
// scripts and weights are plain scripts, added to the page one by one.
"use strict";

(function () {
  const folder = new URL("explorers/", document.currentScript.src);
  const scripts = new Map(); // name: a promise that it has run
  const data = new Map(); // name: DataView

  // The scripts with weights call this, with their bytes in base64.
  window.explorerData = (name, text) => {
    const bytes = Uint8Array.from(atob(text), (it) => it.charCodeAt(0));
    data.set(name, new DataView(bytes.buffer));
  };

  function loadScript(name) {
    if (!scripts.has(name)) {
      const element = document.createElement("script");
      const ran = new Promise((done, failed) => {
        element.onload = done;
        element.onerror = () => failed(new Error(`${name} cannot be loaded`));
      });
      element.src = new URL(`${name}.js`, folder);
      document.head.append(element);
      scripts.set(name, ran);
    }
    return scripts.get(name);
  }

  async function loadData(name) {
    await loadScript(`data/${name}`);
    return data.get(name);
  }

  function loadStyle() {
    if (document.getElementById("explorers-style")) return;
    const link = document.createElement("link");
    link.id = "explorers-style";
    link.rel = "stylesheet";
    link.href = new URL("explorers.css", folder);
    document.head.append(link);
  }

  // Plays the part of anywidget's model: traits that can be read, set and watched.
  class PageModel {
    constructor(state) {
      this.state = state;
      this.listeners = [];
    }
    get(name) {
      return this.state[name];
    }
    set(name, value) {
      if (this.state[name] === value) return;
      this.state[name] = value;
      for (const { event, listener } of this.listeners) {
        if (event === `change:${name}`) listener();
      }
    }
    on(event, listener) {
      this.listeners.push({ event, listener });
    }
    save_changes() {} // there is nobody to tell
    send() {}
  }

  async function mount(place) {
    const { script, state } = place.dataset;
    loadStyle();
    await loadScript("network");
    await loadScript("parts");
    await loadScript(script);
    const Explorer = explorers[script];
    const model = new PageModel(JSON.parse(state));
    if (Explorer.withoutKernel) await Explorer.withoutKernel(model, loadData);
    const el = document.createElement("div");
    render(Explorer, { model, el });
    place.replaceChildren(el);
    place.dataset.mounted = "yes";
  }

  const watcher = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        watcher.unobserve(target);
        mount(target); // if it fails, the picture stays and the console says why
      }
    },
    { rootMargin: "200px" }
  );
  for (const place of document.querySelectorAll(".explorer")) watcher.observe(place);
})();
