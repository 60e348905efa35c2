// One client for an Expo app. It survives restarts and crashes of the app, and no other app can read its token.

import * as Crypto from 'expo-crypto';
import * as SecureStore from 'expo-secure-store';
import { createAuth } from 'latchet-client/native';
import { AppState } from 'react-native';

// Readable for a refresh while the screen is locked, and part of no backup.
const options = { keychainAccessible: SecureStore.AFTER_FIRST_UNLOCK_THIS_DEVICE_ONLY };

export const auth = createAuth({
  baseUrl: process.env.EXPO_PUBLIC_LATCHET!,
  crypto: Crypto,
  storage: {
    getItem: (name) => SecureStore.getItemAsync(name, options),
    setItem: (name, value) => SecureStore.setItemAsync(name, value, options),
    removeItem: (name) => SecureStore.deleteItemAsync(name, options),
  },
  onForeground: (listener) => {
    const subscription = AppState.addEventListener('change', (state) => { if (state === 'active') listener(); });
    return () => subscription.remove();
  },
});
